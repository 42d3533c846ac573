// SPDX-License-Identifier: MIT
/* The start of the network: addresses and gateway by ip= and gw=, the services, the housekeeping
 * thread. Invariant: a word that makes no sense is named in a warning and changes nothing. Called
 * by kernel/main.c, once. */
#include "kernel/log.h"
#include "net/dhcp.h"
#include "net/housekeeping.h"
#include "net/ipv4.h"
#include "net/net_config.h"
#include "net/udp.h"

static void set_static(struct net_device *device, const struct net_address_choice *choice)
{
    if (!net_config_set_address(device, choice->address, choice->mask, NET_CONFIG_STATIC)) {
        log_warning("command line: ip='%s': %s has this address already: %s gets none",
                    choice->word, net_config_owner(choice->address)->name, device->name);
    }
}

static void choose_for_device(struct net_device *device, const struct net_address_choice *choice)
{
    if (choice->fault != NULL) {
        log_warning("command line: ip='%s': %s: %s gets no address", choice->word, choice->fault,
                    device->name);
    } else if (choice->source == NET_CONFIG_STATIC) {
        set_static(device, choice);
    } else if (choice->source == NET_CONFIG_DHCP) {
        dhcp_start(device);
    }
}

/* A device without a word of its own asks by DHCP if there is no word, or the last is dhcp. */
static void take_addresses(const char *text)
{
    struct net_address_choice choice = {.source = NET_CONFIG_DHCP};
    struct net_device *device;
    unsigned index = 0;

    for (; net_address_list_take(&text, &choice); index++) {
        device = net_device_at(index);
        if (device != NULL) {
            choose_for_device(device, &choice);
        } else {
            log_warning("command line: ip='%s': there is no nic%u: ignored", choice.word, index);
        }
    }
    for (; (device = net_device_at(index)) != NULL; index++) {
        if (choice.source == NET_CONFIG_DHCP) {
            dhcp_start(device);
        }
    }
}

static bool some_device_asks(void)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (net_dhcp_is_asking(device)) {
            return true;
        }
    }
    return false;
}

/* One that lies in no net yet may lie in one that DHCP brings; dhcp.c says so if it does not. */
static void take_gateway(const char *text)
{
    uint32_t address;

    if (text == NULL) {
        return;
    }
    if (!ipv4_read(text, &address) || address == 0) {
        log_warning("command line: gw='%s' is not an address: ignored", text);
    } else if (!net_config_set_gateway(address) && !some_device_asks()) {
        log_warning("command line: gw='%s': %s: there is no gateway", text,
                    net_config_gateway_fault(&address));
    }
}

static void log_addresses(void)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        char text[IPV4_TEXT_BYTES];

        if (net_config_source(device) == NET_CONFIG_STATIC) {
            ipv4_format(device->ipv4_address, text);
            log_info("%s: %s/%u", device->name, text, net_address_prefix(device->ipv4_mask));
        }
    }
}

void net_initialize(const char *addresses, const char *gateway)
{
    if (net_device_count() == 0) {
        log_info("no network device%s", addresses != NULL ? ": ip= is ignored" : "");
        return;
    }
    for (unsigned i = 0; i < net_device_count(); i++) {
        struct net_device *device = net_device_at(i);

        device->link_changes_seen = device->link_changes; /* addresses announce themselves */
    }
    udp_services_initialize();
    take_addresses(addresses);
    take_gateway(gateway);
    log_addresses();
    if (!net_housekeeping_start()) {
        log_error("net: no memory for the housekeeping thread: no DHCP, and ARP forgets nothing");
    }
}
