// SPDX-License-Identifier: MIT
/* Ethernet II framing, and the table of protocols by type. Invariant: a protocol gets only frames
 * that are at least FRAME header long and addressed to its device or to all. */
#pragma once

#include "net/net_device.h"
#include "net/packet.h"

#include <stdint.h>

#define ETHERNET_HEADER_BYTES 14
#define ETHERTYPE_IPV4        0x0800
#define ETHERTYPE_ARP         0x0806

/* A row of the table: whoever handles frames of @type. receive() takes the packet, whose data
 * stands behind the ethernet header (which is still there, in the headroom). */
struct net_protocol {
    uint16_t type;
    const char *name;
    void (*receive)(struct packet *packet);
};
extern const struct net_protocol net_protocols[];
extern const unsigned net_protocol_count;

extern const uint8_t mac_broadcast[MAC_BYTES];

/* Takes a frame that the hook let pass. Context: poll thread. */
void ethernet_receive(struct packet *packet);

/* Puts the header in front and sends the frame from @device. Takes the packet. */
void ethernet_send(struct net_device *device, const uint8_t destination[MAC_BYTES], uint16_t type,
                   struct packet *packet);
