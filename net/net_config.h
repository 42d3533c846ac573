// SPDX-License-Identifier: MIT
/* Addresses: from the kernel command line (ip=, gw=), or by DHCP (RFC 2131). Invariant: a device
 * has a whole configuration (address and mask) or none; a value that makes no sense is named in a
 * warning and not used.
 *
 *     ip=10.0.2.15/24 gw=10.0.2.2      static, for nic0; a list with commas: nic0,nic1,...
 *     ip=dhcp (also without ip=)       asks; ip=none: no address
 *     gw=10.0.2.2                      with DHCP too: before the router that the server names
 */
#pragma once

#include "net/net_address.h"
#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

/* Gives the devices their addresses by @addresses and @gateway, the values of ip= and gw= (NULL:
 * not given), binds the services, starts the housekeeping thread, which also asks by DHCP. Returns
 * at once: an answer comes later. Without a device it says so and does nothing. Context: the first
 * thread, once, after the devices are registered. */
void net_initialize(const char *addresses, const char *gateway);

/* Sets or takes away (0) the address of a device, and tells the neighbours. Returns false, changing
 * nothing, if the address is no host's (network, broadcast, multicast, loopback) or another
 * device's. The router that DHCP named for the device is forgotten, and the gateway chosen anew. To
 * be taken away before a device is unregistered.
 * Context: thread. Ordering: readers without a lock see an old or a new address, never a mask of 0
 * with an address. */
bool net_config_set_address(struct net_device *device, uint32_t address, uint32_t mask,
                            enum net_config_source source);

/* What DHCP leases: the address as above (one that the device has, with this mask, stays untouched)
 * and, under the same lock, @router: the gateway, unless the command line's is used or a device
 * before it has one. A router that is no other host in the device's net (0: none is named) changes
 * nothing: what device->ipv4_router was with this address it stays.
 * Returns false, changing nothing, as net_config_set_address(). Context: thread. */
bool net_config_set_lease(struct net_device *device, uint32_t address, uint32_t mask,
                          uint32_t router);

enum net_config_source net_config_source(const struct net_device *device);
const char *net_config_source_name(enum net_config_source source);

/* The default gateway; 0: none. */
uint32_t net_config_gateway(void);

/* What the command line names as gateway, 0: nothing. It is used while some device has an address
 * whose net it lies in, before any router that DHCP names. Returns whether it is used now; it is
 * kept in any case. Context: thread. */
bool net_config_set_gateway(uint32_t address);

/* Why the gateway of the command line is not used, in words; NULL: it is, or @address, which it is
 * copied to, is 0. Context: thread. */
const char *net_config_gateway_fault(uint32_t *address);

/* Bit address % 64 of each address that a device ever had, set before it has it: tells of most
 * addresses that they are nobody's. Atomic; gains bits only. */
extern uint64_t net_config_owned_bits;
struct net_device *net_config_find_owner(uint32_t address);

/* The device whose own address @address is; NULL: none's. Each packet received or sent asks.
 * Context: any. */
static inline struct net_device *net_config_owner(uint32_t address)
{
    uint64_t bits = __atomic_load_n(&net_config_owned_bits, __ATOMIC_RELAXED);

    return (bits >> address % 64 & 1) != 0 ? net_config_find_owner(address) : NULL;
}

/* What DHCP is doing for a device: "off", "asking", "bound", "no answer"; @lease_ns (may be NULL):
 * what is left of the lease that is in force, 0: none is, UINT64_MAX: for ever. Context: any but
 * NMI. Ordering: who reads the address and the gateway after "bound" finds those of the lease,
 * unless it ends meanwhile; so ask for the state first. */
const char *net_dhcp_state(const struct net_device *device, uint64_t *lease_ns);

/* Whether an answer may still come soon: "asking". */
bool net_dhcp_is_asking(const struct net_device *device);
