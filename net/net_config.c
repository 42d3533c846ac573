// SPDX-License-Identifier: MIT
/* Which device has which address, and the gateway. Invariant: an address is only ever seen together
 * with a mask that is not zero; no two devices have the same; the gateway lies in a device's net or
 * is none. Called by net_start.c, dhcp.c, the shell, and for each packet that is routed. */
#include "net/net_config.h"

#include "kernel/mutex.h"
#include "net/arp.h"

static struct mutex config_mutex = MUTEX("network configuration"); /* for changes */
static uint32_t gateway;                                           /* atomic; 0: none */

static uint32_t value_read(const uint32_t *value)
{
    /* Acquire: pairs with address_publish(); the mask that belongs to an address comes first. */
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

struct net_device *net_config_owner(uint32_t address)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (address != 0 && value_read(&device->ipv4_address) == address) {
            return device;
        }
    }
    return NULL;
}

uint32_t net_config_gateway(void)
{
    return __atomic_load_n(&gateway, __ATOMIC_RELAXED);
}

/* Whether @address may be a router that we send to: a host, not us, in the net of a device. */
static bool is_neighbour(uint32_t address)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        uint32_t own = value_read(&device->ipv4_address);
        uint32_t mask = value_read(&device->ipv4_mask);

        if (own != 0 && ((own ^ address) & mask) == 0 && net_address_fault(address, mask) == NULL) {
            return net_config_owner(address) == NULL;
        }
    }
    return false;
}

bool net_config_set_gateway(uint32_t address)
{
    bool is_good;

    mutex_lock(&config_mutex);
    is_good = address == 0 || is_neighbour(address);
    if (is_good) {
        __atomic_store_n(&gateway, address, __ATOMIC_RELAXED);
    }
    mutex_unlock(&config_mutex);
    return is_good;
}

/* While the mask changes there is no address: a reader that has seen one reads a mask that is not
 * older. */
static void address_publish(struct net_device *device, uint32_t address, uint32_t mask)
{
    __atomic_store_n(&device->ipv4_address, 0, __ATOMIC_SEQ_CST);
    if (address != 0) {
        /* The mask of no address stays as it was: somebody may have read the address before. */
        __atomic_store_n(&device->ipv4_mask, mask, __ATOMIC_RELEASE);
        /* Release: pairs with value_read(); without it the new address could be seen with mask 0.
         */
        __atomic_store_n(&device->ipv4_address, address, __ATOMIC_RELEASE);
    }
}

/* What was learnt with another address is forgotten. Without a link nobody would hear. */
static void tell_neighbours(struct net_device *device)
{
    arp_forget(device);
    if (device->ipv4_address != 0 && __atomic_load_n(&device->link_is_up, __ATOMIC_ACQUIRE)) {
        arp_announce(device);
    }
}

bool net_config_set_address(struct net_device *device, uint32_t address, uint32_t mask,
                            enum net_config_source source)
{
    struct net_device *owner;
    bool is_good;

    mutex_lock(&config_mutex);
    owner = net_config_owner(address);
    is_good = address == 0 ||
              (net_address_fault(address, mask) == NULL && (owner == NULL || owner == device));
    if (is_good) {
        device->ipv4_source = address != 0 ? source : NET_CONFIG_NONE;
        address_publish(device, address, mask);
        if (net_config_gateway() != 0 && !is_neighbour(net_config_gateway())) {
            __atomic_store_n(&gateway, 0, __ATOMIC_RELAXED);
        }
    }
    mutex_unlock(&config_mutex);
    if (is_good) {
        tell_neighbours(device);
    }
    return is_good;
}

enum net_config_source net_config_source(const struct net_device *device)
{
    return (enum net_config_source)__atomic_load_n(&device->ipv4_source, __ATOMIC_RELAXED);
}

const char *net_config_source_name(enum net_config_source source)
{
    static const char *const names[] = {"none", "static", "dhcp"};

    return names[source];
}
