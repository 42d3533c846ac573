// SPDX-License-Identifier: MIT
/* Counters of what became of the frames; see counters.h. */
#include "net/counters.h"

#include "arch/percpu.h"

struct cpu_net_counters {
    uint64_t values[NET_COUNTER_COUNT];
} __attribute__((aligned(64)));

static struct cpu_net_counters counters[CPU_MAX];

const char *const net_counter_names[NET_COUNTER_COUNT] = {
    [NET_RECEIVED_ARP] = "received.arp",
    [NET_RECEIVED_IPV4] = "received.ipv4",
    [NET_RECEIVED_ICMP] = "received.icmp",
    [NET_RECEIVED_UDP] = "received.udp",
    [NET_SENT_ARP] = "sent.arp",
    [NET_SENT_ICMP] = "sent.icmp",
    [NET_SENT_UDP] = "sent.udp",
    [NET_PROGRAM_TX] = "program.tx",
    [NET_DROP_PROGRAM] = "drop.program",
    [NET_DROP_PROGRAM_ABORT] = "drop.program_abort",
    [NET_DROP_FRAME_SHORT] = "drop.frame_short",
    [NET_DROP_FRAME_LONG] = "drop.frame_long",
    [NET_DROP_ETHERNET_SOURCE] = "drop.ethernet_source",
    [NET_DROP_NOT_FOR_US] = "drop.not_for_us",
    [NET_DROP_ETHERTYPE] = "drop.ethertype_unknown",
    [NET_DROP_ARP_MALFORMED] = "drop.arp_malformed",
    [NET_DROP_ARP_NOT_FOR_US] = "drop.arp_not_for_us",
    [NET_DROP_ARP_CONFLICT] = "drop.arp_conflict",
    [NET_DROP_ARP_UNRESOLVED] = "drop.arp_unresolved",
    [NET_DROP_IPV4_SHORT] = "drop.ipv4_short",
    [NET_DROP_IPV4_VERSION] = "drop.ipv4_version",
    [NET_DROP_IPV4_HEADER_LENGTH] = "drop.ipv4_header_length",
    [NET_DROP_IPV4_TOTAL_LENGTH] = "drop.ipv4_total_length",
    [NET_DROP_IPV4_CHECKSUM] = "drop.ipv4_checksum",
    [NET_DROP_IPV4_OPTIONS] = "drop.ipv4_options",
    [NET_DROP_IPV4_SOURCE] = "drop.ipv4_source",
    [NET_DROP_IPV4_NOT_FOR_US] = "drop.ipv4_not_for_us",
    [NET_DROP_IPV4_FRAGMENT] = "drop.ipv4_fragment",
    [NET_DROP_IPV4_PROTOCOL] = "drop.ipv4_protocol_unknown",
    [NET_DROP_ICMP_SHORT] = "drop.icmp_short",
    [NET_DROP_ICMP_CHECKSUM] = "drop.icmp_checksum",
    [NET_DROP_ICMP_TYPE] = "drop.icmp_type",
    [NET_DROP_UDP_SHORT] = "drop.udp_short",
    [NET_DROP_UDP_LENGTH] = "drop.udp_length",
    [NET_DROP_UDP_CHECKSUM] = "drop.udp_checksum",
    [NET_DROP_UDP_PORT] = "drop.udp_port_closed",
    [NET_DROP_UDP_DISCARDED] = "drop.udp_discarded",
    [NET_DROP_DHCP_MALFORMED] = "drop.dhcp_malformed",
    [NET_DROP_SOCKET_FULL] = "drop.socket_full",
    [NET_DROP_ANSWER] = "drop.answer_refused",
    [NET_DROP_NO_ADDRESS] = "drop.no_address",
    [NET_DROP_NO_ROUTE] = "drop.no_route",
    [NET_DROP_NO_PACKET] = "drop.no_packet",
    [NET_DROP_TRANSMIT_FULL] = "drop.transmit_full",
    [NET_DROP_LINK_DOWN] = "drop.link_down",
    [NET_DROP_DEVICE_STOPPED] = "drop.device_stopped",
};

void net_count(enum net_counter counter)
{
    uint64_t *value = &counters[cpu_index()].values[counter];

    /* One instruction, so that neither an interrupt nor another thread of this CPU comes between
     * its read and its write; other CPUs never write here. */
    __asm__ volatile("incq %0" : "+m"(*value)::"cc");
}

void net_drop(struct packet *packet, enum net_counter reason)
{
    net_count(reason);
    packet_free(packet);
}

uint64_t net_counter_read(enum net_counter counter)
{
    uint64_t sum = 0;

    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        sum += __atomic_load_n(&counters[cpu].values[counter], __ATOMIC_RELAXED);
    }
    return sum;
}
