// SPDX-License-Identifier: MIT
/* What ipv4.c, ipv4_send.c and arp.c share: the header's fields, the last step of sending, and
 * whose an address is. Invariant: an address of 0 is nobody's. Others use ipv4.h. */
#pragma once

#include "net/ipv4.h"
#include "net/net_device.h"

/* Offsets in the header (RFC 791, section 3.1). */
enum {
    IPV4_VERSION = 0, /* and the header's length, in words of 4 bytes */
    IPV4_SERVICE = 1,
    IPV4_TOTAL_LENGTH = 2,
    IPV4_IDENTIFICATION = 4,
    IPV4_FRAGMENT = 6,
    IPV4_TIME_TO_LIVE = 8,
    IPV4_PROTOCOL = 9,
    IPV4_CHECKSUM = 10,
    IPV4_SOURCE = 12,
    IPV4_DESTINATION = 16,
};

/* Sends a packet, data at the IP header, from @device to the station (or all) with address @mac,
 * and counts it if it went. Takes the packet. */
void ipv4_send_to_station(struct net_device *device, const uint8_t mac[MAC_BYTES],
                          struct packet *packet);

/* Acquire: pairs with net_config_set_address(); the mask read behind it is not older. */
static inline uint32_t ipv4_address_of(const struct net_device *device)
{
    return __atomic_load_n(&device->ipv4_address, __ATOMIC_ACQUIRE);
}

static inline uint32_t ipv4_mask_of(const struct net_device *device)
{
    return __atomic_load_n(&device->ipv4_mask, __ATOMIC_RELAXED);
}

/* 255.255.255.255, or that of the device's net; nets of two addresses have none (RFC 3021). */
static inline bool ipv4_is_broadcast_on(const struct net_device *device, uint32_t address)
{
    uint32_t own = ipv4_address_of(device), mask = ipv4_mask_of(device);

    return address == IPV4_BROADCAST ||
           (own != 0 && mask < 0xfffffffeu && address == (own | ~mask));
}
