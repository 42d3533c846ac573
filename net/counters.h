// SPDX-License-Identifier: MIT
/* What became of the frames: counters by protocol and by reason of a drop, for `net` and for tests.
 * Invariant: exact. Each CPU adds to counters of its own by one instruction, which no interrupt can
 * cut in two, and readers add them up. Called by everything in net/. */
#pragma once

#include "net/packet.h"

#include <stdint.h>

/* id, name. The order is that of the listing. */
#define NET_COUNTERS(counter)                                                                      \
    counter(NET_RECEIVED_ARP, "received.arp") counter(NET_RECEIVED_IPV4, "received.ipv4") counter( \
        NET_RECEIVED_ICMP, "received.icmp") counter(NET_RECEIVED_UDP, "received.udp")              \
        counter(NET_SENT_ARP, "sent.arp") counter(NET_SENT_ICMP, "sent.icmp") counter(             \
            NET_SENT_UDP, "sent.udp") counter(NET_HOOK_TX, "hook.tx") counter(NET_DROP_HOOK,       \
                                                                              "drop.hook")         \
            counter(NET_DROP_HOOK_ABORT, "drop.hook_abort") counter(                               \
                NET_DROP_FRAME_SHORT,                                                              \
                "drop.frame_short") counter(NET_DROP_FRAME_LONG,                                   \
                                            "drop.frame_long") counter(NET_DROP_NOT_FOR_US,        \
                                                                       "drop.not_for_us")          \
                counter(NET_DROP_ETHERTYPE, "drop.ethertype_unknown") counter(                     \
                    NET_DROP_ARP_MALFORMED, "drop.arp_malformed") counter(NET_DROP_ARP_NOT_FOR_US, \
                                                                          "drop.arp_not_for_us")   \
                    counter(NET_DROP_ARP_UNRESOLVED, "drop.arp_unresolved") counter(               \
                        NET_DROP_IPV4_SHORT, "drop.ipv4_short") counter(NET_DROP_IPV4_VERSION,     \
                                                                        "drop.ipv4_version")       \
                        counter(NET_DROP_IPV4_HEADER_LENGTH, "drop.ipv4_header_length") counter(   \
                            NET_DROP_IPV4_TOTAL_LENGTH,                                            \
                            "drop.ipv4_total_length") counter(NET_DROP_IPV4_CHECKSUM,              \
                                                              "drop.ipv4_checksum")                \
                            counter(NET_DROP_IPV4_OPTIONS, "drop.ipv4_options") counter(           \
                                NET_DROP_IPV4_SOURCE,                                              \
                                "drop.ipv4_source") counter(NET_DROP_IPV4_NOT_FOR_US,              \
                                                            "drop.ipv4_not_for_us")                \
                                counter(NET_DROP_IPV4_FRAGMENT, "drop.ipv4_fragment") counter(     \
                                    NET_DROP_IPV4_PROTOCOL,                                        \
                                    "drop.ipv4_protocol_unknown") counter(NET_DROP_ICMP_SHORT,     \
                                                                          "drop.icmp_short")       \
                                    counter(NET_DROP_ICMP_CHECKSUM, "drop.icmp_checksum") counter( \
                                        NET_DROP_ICMP_TYPE,                                        \
                                        "drop.icmp_type") counter(NET_DROP_UDP_SHORT,              \
                                                                  "drop.udp_short")                \
                                        counter(NET_DROP_UDP_LENGTH, "drop.udp_length") counter(   \
                                            NET_DROP_UDP_CHECKSUM,                                 \
                                            "drop.udp_checksum") counter(NET_DROP_UDP_PORT,        \
                                                                         "drop.udp_port_closed")   \
                                            counter(NET_DROP_UDP_DISCARDED, "drop.udp_discarded")  \
                                                counter(NET_DROP_SOCKET_FULL, "drop.socket_full")  \
                                                    counter(NET_DROP_NO_ADDRESS,                   \
                                                            "drop.no_address")                     \
                                                        counter(NET_DROP_NO_ROUTE,                 \
                                                                "drop.no_route")                   \
                                                            counter(NET_DROP_NO_PACKET,            \
                                                                    "drop.no_packet")              \
                                                                counter(NET_DROP_TRANSMIT_FULL,    \
                                                                        "drop.transmit_full")      \
                                                                    counter(NET_DROP_LINK_DOWN,    \
                                                                            "drop.link_down")      \
                                                                        counter(                   \
                                                                            NET_DROP_DEVICE_DEAD,  \
                                                                            "drop.device_dead")

enum net_counter {
#define NET_COUNTER_ID(id, name) id,
    NET_COUNTERS(NET_COUNTER_ID)
#undef NET_COUNTER_ID
        NET_COUNTER_COUNT
};

extern const char *const net_counter_names[NET_COUNTER_COUNT];

/* Context: any but NMI, preemption on or off. */
void net_count(enum net_counter counter);

/* Counts @reason and frees the packet. */
void net_drop(struct packet *packet, enum net_counter reason);

/* The sum over all CPUs. Exact once what is counted has ended. */
uint64_t net_counter_read(enum net_counter counter);
