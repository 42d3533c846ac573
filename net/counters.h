// SPDX-License-Identifier: MIT
/* What became of the frames: counters by protocol and by reason of a drop, for `net` and for tests.
 * Invariant: exact. Each CPU adds to counters of its own by one instruction, which no interrupt can
 * cut in two, and readers add them up. Called by everything in net/. */
#pragma once

#include "net/packet.h"

#include <stdint.h>

/* Names and order of the listing: counters.c. Sent is what went into a transmit ring, or was given
 * to this machine itself; what could not be sent is counted by its reason alone. */
enum net_counter {
    NET_RECEIVED_ARP,
    NET_RECEIVED_IPV4,
    NET_RECEIVED_ICMP,
    NET_RECEIVED_UDP,
    NET_SENT_ARP,
    NET_SENT_ICMP,
    NET_SENT_UDP,
    NET_PROGRAM_TX,
    NET_DROP_PROGRAM,
    NET_DROP_PROGRAM_ABORT,
    NET_DROP_FRAME_SHORT,
    NET_DROP_FRAME_LONG,
    NET_DROP_ETHERNET_SOURCE,
    NET_DROP_NOT_FOR_US,
    NET_DROP_ETHERTYPE,
    NET_DROP_ARP_MALFORMED,
    NET_DROP_ARP_NOT_FOR_US,
    NET_DROP_ARP_CONFLICT,
    NET_DROP_ARP_UNRESOLVED,
    NET_DROP_IPV4_SHORT,
    NET_DROP_IPV4_VERSION,
    NET_DROP_IPV4_HEADER_LENGTH,
    NET_DROP_IPV4_TOTAL_LENGTH,
    NET_DROP_IPV4_CHECKSUM,
    NET_DROP_IPV4_OPTIONS,
    NET_DROP_IPV4_SOURCE,
    NET_DROP_IPV4_NOT_FOR_US,
    NET_DROP_IPV4_FRAGMENT,
    NET_DROP_IPV4_PROTOCOL,
    NET_DROP_ICMP_SHORT,
    NET_DROP_ICMP_CHECKSUM,
    NET_DROP_ICMP_TYPE,
    NET_DROP_UDP_SHORT,
    NET_DROP_UDP_LENGTH,
    NET_DROP_UDP_CHECKSUM,
    NET_DROP_UDP_PORT,
    NET_DROP_UDP_DISCARDED,
    NET_DROP_DHCP_MALFORMED,
    NET_DROP_SOCKET_FULL,
    NET_DROP_ANSWER,
    NET_DROP_NO_ADDRESS,
    NET_DROP_NO_ROUTE,
    NET_DROP_NO_PACKET,
    NET_DROP_TRANSMIT_FULL,
    NET_DROP_LINK_DOWN,
    NET_DROP_DEVICE_STOPPED,
    NET_COUNTER_COUNT
};

extern const char *const net_counter_names[NET_COUNTER_COUNT];

/* Context: any but NMI, preemption on or off. */
void net_count(enum net_counter counter);

/* Counts @reason and frees the packet. */
void net_drop(struct packet *packet, enum net_counter reason);

/* The sum over all CPUs. Exact once what is counted has ended. */
uint64_t net_counter_read(enum net_counter counter);
