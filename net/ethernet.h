// SPDX-License-Identifier: MIT
/* Ethernet II framing, and the table of protocols by type. Invariant: a protocol gets only frames
 * that hold an ethernet header, come from a single other station (or are our own, to ourselves) and
 * are addressed to its device or to all. Called by receive.c and by the protocols. */
#pragma once

#include "net/net_device.h"
#include "net/packet.h"
#include "net/wire.h"
#include "patching/dynamic_call.h"

#include <stdbool.h>
#include <stdint.h>

#define ETHERNET_HEADER_BYTES 14
#define ETHERTYPE_IPV4        0x0800
#define ETHERTYPE_ARP         0x0806

/* Takes a packet whose data stands behind the ethernet header (which is still there, in the
 * headroom). */
typedef void net_protocol_receive(struct packet *packet);

/* A row of the table: whoever handles frames of @type. */
struct net_protocol {
    uint16_t type;
    net_protocol_receive *receive;
};

/* The call that each frame is delivered by: one type of frame is most of a stream. */
DECLARE_DYNAMIC_CALL(deliver, net_protocol_receive, 2);

extern const uint8_t mac_broadcast[MAC_BYTES];

/* The address as a number, to be compared only. */
static inline uint64_t mac_number(const uint8_t *mac)
{
    uint32_t low;
    uint16_t high;

    __builtin_memcpy(&low, mac, sizeof(low));
    __builtin_memcpy(&high, mac + sizeof(low), sizeof(high));
    return (uint64_t)high << 32 | low;
}

static inline bool mac_is_equal(const uint8_t *left, const uint8_t *right)
{
    return mac_number(left) == mac_number(right);
}

/* Broadcast or multicast: never the address of a single station. */
static inline bool mac_is_group(const uint8_t *mac)
{
    return (mac[0] & 1) != 0;
}

/* Whether @mac can be that of one other station on the wire of a device whose address is @own: what
 * is answered to reaches it alone. */
static inline bool mac_is_other_station(const uint8_t *mac, const uint8_t *own)
{
    return !mac_is_group(mac) && mac_number(mac) != 0 && !mac_is_equal(mac, own);
}

/* Takes a frame that the program let pass, or (packet->device == NULL) one that this machine sends
 * to itself. Context: poll thread, or who sends to itself. */
void ethernet_receive(struct packet *packet);

/* Puts the header in front, where the caller knows that there is room for it. */
void ethernet_put_header(struct packet *packet, const uint8_t destination[MAC_BYTES],
                         const uint8_t source[MAC_BYTES], uint16_t type);

/* Puts the header in front and sends the frame from @device. Takes the packet. Returns whether it
 * went into the ring. */
bool ethernet_send(struct net_device *device, const uint8_t destination[MAC_BYTES], uint16_t type,
                   struct packet *packet);
