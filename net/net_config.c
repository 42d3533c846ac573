// SPDX-License-Identifier: MIT
/* Which device has which address, and the gateway. Invariant: an address is only ever seen together
 * with a mask that is not zero; no two devices have the same; the gateway lies in a device's net or
 * is none: it is the command line's if that can be, else the first router of DHCP's. Called by
 * net_start.c, dhcp.c, the shell, and for each packet that is routed. */
#include "net/net_config.h"

#include "kernel/mutex.h"
#include "net/arp.h"

static struct mutex config_mutex = MUTEX("network configuration"); /* for changes */
static uint32_t gateway;        /* atomic; what is used; 0: none */
static uint32_t wished_gateway; /* under config_mutex; the command line's, usable or not; 0: none */

uint64_t net_config_owned_bits;

static uint32_t value_read(const uint32_t *value)
{
    /* Acquire: pairs with address_publish(); the mask that belongs to an address comes first. */
    return __atomic_load_n(value, __ATOMIC_ACQUIRE);
}

struct net_device *net_config_find_owner(uint32_t address)
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

static bool is_on_net_of(const struct net_device *device, uint32_t address)
{
    uint32_t own = value_read(&device->ipv4_address);

    return own != 0 && ((own ^ address) & value_read(&device->ipv4_mask)) == 0;
}

/* Why @address cannot be a router that we send to, or NULL. */
static const char *gateway_fault(uint32_t address)
{
    const char *fault = "it lies in the net of no device";
    struct net_device *device;

    if (net_config_owner(address) != NULL) {
        return "it is an address of our own";
    }
    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (is_on_net_of(device, address)) {
            fault = net_address_fault(address, value_read(&device->ipv4_mask));
            if (fault == NULL) {
                return NULL;
            }
        }
    }
    return fault;
}

/* Chooses anew after a change. A wish that cannot be now is kept: DHCP may bring its net later. */
static void gateway_choose_locked(void)
{
    uint32_t chosen =
        wished_gateway != 0 && gateway_fault(wished_gateway) == NULL ? wished_gateway : 0;
    struct net_device *device;

    for (unsigned i = 0; chosen == 0 && (device = net_device_at(i)) != NULL; i++) {
        if (device->ipv4_router != 0 && gateway_fault(device->ipv4_router) == NULL) {
            chosen = device->ipv4_router;
        }
    }
    __atomic_store_n(&gateway, chosen, __ATOMIC_RELAXED);
}

bool net_config_set_gateway(uint32_t address)
{
    bool is_used;

    mutex_lock(&config_mutex);
    wished_gateway = address;
    gateway_choose_locked();
    is_used = address == 0 || net_config_gateway() == address;
    mutex_unlock(&config_mutex);
    return is_used;
}

const char *net_config_gateway_fault(uint32_t *address)
{
    const char *fault = NULL;

    mutex_lock(&config_mutex);
    *address = wished_gateway;
    if (wished_gateway != 0) {
        fault = gateway_fault(wished_gateway);
    }
    mutex_unlock(&config_mutex);
    return fault;
}

/* While the mask changes there is no address: a reader that has seen one reads a mask that is not
 * older. */
static void address_publish(struct net_device *device, uint32_t address, uint32_t mask)
{
    __atomic_store_n(&device->ipv4_address, 0, __ATOMIC_SEQ_CST);
    if (address != 0) {
        __atomic_fetch_or(&net_config_owned_bits, 1ull << address % 64, __ATOMIC_RELAXED);
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

/* Forgets the router; the caller chooses the gateway anew. */
static bool address_set_locked(struct net_device *device, uint32_t address, uint32_t mask,
                               enum net_config_source source)
{
    struct net_device *owner = net_config_owner(address);

    if (address != 0 &&
        (net_address_fault(address, mask) != NULL || (owner != NULL && owner != device))) {
        return false;
    }
    device->ipv4_source = address != 0 ? source : NET_CONFIG_NONE;
    address_publish(device, address, mask);
    device->ipv4_router = 0;
    return true;
}

bool net_config_set_address(struct net_device *device, uint32_t address, uint32_t mask,
                            enum net_config_source source)
{
    bool is_good;

    mutex_lock(&config_mutex);
    is_good = address_set_locked(device, address, mask, source);
    gateway_choose_locked();
    mutex_unlock(&config_mutex);
    if (is_good) {
        tell_neighbours(device);
    }
    return is_good;
}

bool net_config_set_lease(struct net_device *device, uint32_t address, uint32_t mask,
                          uint32_t router)
{
    bool is_new, is_good;

    mutex_lock(&config_mutex);
    is_new = device->ipv4_address != address || device->ipv4_mask != mask;
    is_good = !is_new || address_set_locked(device, address, mask, NET_CONFIG_DHCP);
    if (is_good && is_on_net_of(device, router) && gateway_fault(router) == NULL) {
        device->ipv4_router = router;
    }
    gateway_choose_locked();
    mutex_unlock(&config_mutex);
    if (is_good && is_new) {
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
