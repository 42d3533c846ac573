// SPDX-License-Identifier: MIT
/* What the shell commands of the network share; see net_command.h. */
#include "kernel/net_command.h"

#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/thread.h"
#include "net/ipv4.h"
#include "net/net_config.h"
#include "net/program.h"

#define ADDRESS_PATIENCE_NS 5000000000ull
#define ADDRESS_LOOK_NS     10000000ull

void mac_format(const uint8_t mac[MAC_BYTES], char text[MAC_TEXT_BYTES])
{
    format_text(text, MAC_TEXT_BYTES, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
                mac[3], mac[4], mac[5]);
}

void table_address(struct table *table, const char *name, uint32_t address)
{
    char text[IPV4_TEXT_BYTES];

    ipv4_format(address, text);
    table_text(table, name, IPV4_TEXT_BYTES - 1, text);
}

uint64_t rate_per_second(uint64_t count, uint64_t duration_ns)
{
    uint64_t duration_us = duration_ns / 1000;

    return duration_us == 0 ? 0 : count * 1000000 / duration_us;
}

struct net_device *net_command_find_device(const char *command, const char *name)
{
    struct net_device *device = net_device_find(name);

    if (device == NULL && net_device_count() == 0) {
        console_print("%s: there is no network device '%s': no driver has found any\n", command,
                      name);
    } else if (device == NULL) {
        console_print("%s: there is no network device '%s'; nic lists them\n", command, name);
    }
    return device;
}

bool net_command_read_address(const char *command, const char *word, uint32_t *address)
{
    bool is_address = ipv4_read(word, address);

    if (!is_address) {
        console_print("%s: '%s' is not an IPv4 address\n", command, word);
    }
    return is_address;
}

static bool some_device_has_address(void)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (__atomic_load_n(&device->ipv4_address, __ATOMIC_RELAXED) != 0) {
            return true;
        }
    }
    return false;
}

static bool some_device_is_asking(void)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (net_dhcp_is_asking(device)) {
            return true;
        }
    }
    return false;
}

bool net_command_has_address(struct shell_session *session, const char *command)
{
    uint64_t end_ns = clock_now_ns() + ADDRESS_PATIENCE_NS;

    while (!some_device_has_address() && some_device_is_asking() && clock_now_ns() < end_ns &&
           !shell_interrupted(session)) {
        thread_sleep_ns(ADDRESS_LOOK_NS);
    }
    if (some_device_has_address()) {
        return true;
    }
    console_print("%s: %s\n", command,
                  net_device_count() == 0
                      ? "there is no network device"
                      : "no network device has an address; net shows why, ip= sets one at boot");
    return false;
}

bool net_command_route(struct shell_session *session, const char *command, uint32_t destination,
                       struct net_device **device, uint32_t *next_hop)
{
    char text[IPV4_TEXT_BYTES];

    if (!net_command_has_address(session, command)) {
        return false;
    }
    *device = ipv4_route(destination, next_hop);
    if (*device == NULL) {
        ipv4_format(destination, text);
        console_print("%s: there is no way to %s: no device is in its net, and no gateway\n",
                      command, text);
    }
    return *device != NULL;
}

bool net_command_has_program(const char *command, const struct net_device *device)
{
    for (unsigned queue = 0; queue < device->queue_count; queue++) {
        const struct net_program *program = net_program_of(device, queue);

        if (program != NULL) {
            console_print("%s: %s has program %s on queue %u; `prog detach %s` takes it away\n",
                          command, device->name, program->xdp.name, queue, device->name);
            return true;
        }
    }
    return false;
}

void net_command_complete_devices(struct shell_completion *completion)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        shell_completion_offer(completion, device->name);
    }
}
