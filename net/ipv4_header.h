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

#define IPV4_DO_NOT_FRAGMENT  0x4000
#define IPV4_FIRST_GROUP      0xe0000000u /* 224.0.0.0: multicast, reserved, broadcast */
#define IPV4_LOOPBACK_NETWORK 127         /* the highest 8 bits */

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

/* Whether @address can be that of one host, to judge by @device's net: neither a group, nor
 * loopback, nor "this network", nor the first or last address of the net, if it has more than two
 * (RFC 1122 section 3.2.1.3). */
static inline bool ipv4_is_host_on(const struct net_device *device, uint32_t address)
{
    uint32_t own = ipv4_address_of(device), host_bits = ~ipv4_mask_of(device);

    if (address >= IPV4_FIRST_GROUP || address >> 24 == IPV4_LOOPBACK_NETWORK ||
        address >> 24 == 0) {
        return false;
    }
    /* All zeroes and all ones, with one added, are 1 and 0 in the bits of the host. */
    return own == 0 || ((own ^ address) & ~host_bits) != 0 || host_bits <= 1 ||
           ((address + 1) & host_bits) > 1;
}
