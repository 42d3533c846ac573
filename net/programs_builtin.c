// SPDX-License-Identifier: MIT
/* The built-in packet programs. Invariant: a program reads and writes inside the frame alone,
 * whatever the frame says of itself; what it does not understand it lets pass, for the protocols
 * count it by its reason. Called by: net/receive.c through the dispatcher, in poll threads. */
#include "net/ethernet.h"
#include "net/ipv4_header.h"
#include "net/program_reference.h"
#include "net/udp.h"
#include "net/wire.h"

#define ETHERTYPE_IPV6    0x86dd
#define AT_ETHERTYPE      (2 * MAC_BYTES)
#define AT_IPV4           ETHERNET_HEADER_BYTES
#define IPV4_PROTOCOL_TCP 6
#define IS_FRAGMENT       0x3fff /* an offset, or more fragments follow */
#define NONSENSE          0xbadu

/* Each dispatched_function has this shape; @context is a struct packet. */
#define PROGRAM(name) static unsigned name(const void *context, const void *instructions)

/* The slot of the queue that a packet came from. */
static struct net_program_slot *slot_of(const struct packet *packet, const void *instructions)
{
    const struct net_program_data *data = instructions;

    return (struct net_program_slot *)&data
        ->slots[packet->device->index * NET_QUEUE_MAX + packet->queue];
}

static void counter_add(uint64_t *counter)
{
    /* Relaxed: one writer; readers want a figure, no order. */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
}

PROGRAM(program_drop)
{
    (void)context;
    (void)instructions;
    return NET_ACTION_DROP;
}

PROGRAM(program_pass)
{
    (void)context;
    (void)instructions;
    return NET_ACTION_PASS;
}

PROGRAM(program_abort)
{
    (void)context;
    (void)instructions;
    return NONSENSE;
}

/* The IPv4 header of a frame that holds a whole one, else NULL. */
static const uint8_t *frame_ipv4(const struct packet *packet)
{
    const uint8_t *header = packet->data + AT_IPV4;

    if (packet->length < AT_IPV4 + IPV4_HEADER_BYTES ||
        wire_get16(packet->data + AT_ETHERTYPE) != ETHERTYPE_IPV4) {
        return NULL;
    }
    return header[IPV4_VERSION] >> 4 == 4 ? header : NULL;
}

/* What `count` counts, by place in a slot's counts. */
enum { COUNT_ARP, COUNT_ICMP, COUNT_UDP, COUNT_TCP, COUNT_IPV4, COUNT_IPV6, COUNT_OTHER };

static unsigned count_kind(const struct packet *packet)
{
    const uint8_t *ipv4 = frame_ipv4(packet);
    uint16_t type = packet->length >= AT_IPV4 ? wire_get16(packet->data + AT_ETHERTYPE) : 0;

    if (ipv4 != NULL) {
        switch (ipv4[IPV4_PROTOCOL]) {
        case IPV4_PROTOCOL_ICMP:
            return COUNT_ICMP;
        case IPV4_PROTOCOL_UDP:
            return COUNT_UDP;
        case IPV4_PROTOCOL_TCP:
            return COUNT_TCP;
        default:
            return COUNT_IPV4;
        }
    }
    if (type == ETHERTYPE_ARP) {
        return COUNT_ARP;
    }
    return type == ETHERTYPE_IPV6 ? COUNT_IPV6 : COUNT_OTHER;
}

PROGRAM(program_count)
{
    const struct packet *packet = context;
    struct net_program_slot *slot = slot_of(packet, instructions);

    counter_add(&slot->runs);
    counter_add(&slot->counts[count_kind(packet)]);
    return NET_ACTION_PASS;
}

/* The UDP header of a whole IPv4 datagram without options, else NULL. */
static uint8_t *frame_udp(const struct packet *packet)
{
    const uint8_t *ipv4 = frame_ipv4(packet);
    uint32_t total;

    if (ipv4 == NULL || (ipv4[IPV4_VERSION] & 15) * 4 != IPV4_HEADER_BYTES ||
        ipv4[IPV4_PROTOCOL] != IPV4_PROTOCOL_UDP ||
        (wire_get16(ipv4 + IPV4_FRAGMENT) & IS_FRAGMENT) != 0) {
        return NULL;
    }
    total = wire_get16(ipv4 + IPV4_TOTAL_LENGTH);
    if (total < IPV4_HEADER_BYTES + UDP_HEADER_BYTES || total > packet->length - AT_IPV4 ||
        checksum_finish(checksum_add(0, ipv4, IPV4_HEADER_BYTES)) != 0) {
        return NULL;
    }
    return packet->data + AT_IPV4 + IPV4_HEADER_BYTES;
}

/* From one other station to us: an answer to anything else could go round for ever. */
static bool may_be_answered(const struct packet *packet)
{
    const struct net_device *device = packet->device;
    const uint8_t *ipv4 = packet->data + AT_IPV4;

    return mac_is_equal(packet->data, device->mac) &&
           mac_is_other_station(packet->data + MAC_BYTES, device->mac) &&
           wire_get32(ipv4 + IPV4_DESTINATION) == ipv4_address_of(device) &&
           ipv4_is_host_on(device, wire_get32(ipv4 + IPV4_SOURCE)) &&
           wire_get32(ipv4 + IPV4_SOURCE) != ipv4_address_of(device);
}

static void swap_bytes(uint8_t *left, uint8_t *right, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        uint8_t byte = left[i];

        left[i] = right[i];
        right[i] = byte;
    }
}

/* Sends UDP back to where it came from. What is swapped stands in both checksums twice, so they
 * stay right, or wrong. */
PROGRAM(program_echo)
{
    const struct packet *packet = context;
    struct net_program_slot *slot = slot_of(packet, instructions);
    uint8_t *udp = frame_udp(packet);
    uint8_t *ipv4 = packet->data + AT_IPV4;

    counter_add(&slot->runs);
    if (udp == NULL || !may_be_answered(packet)) {
        return NET_ACTION_PASS;
    }
    counter_add(&slot->counts[COUNT_UDP]);
    swap_bytes(packet->data, packet->data + MAC_BYTES, MAC_BYTES);
    swap_bytes(ipv4 + IPV4_SOURCE, ipv4 + IPV4_DESTINATION, sizeof(uint32_t));
    swap_bytes(udp, udp + sizeof(uint16_t), sizeof(uint16_t));
    return NET_ACTION_TX;
}

static struct net_program_data count_data, echo_data;

static struct net_program programs[] = {
    {.xdp = {"drop", program_drop, NULL}, .summary = "drops all frames"},
    {.xdp = {"pass", program_pass, NULL}, .summary = "lets all frames pass"},
    {.xdp = {"count", program_count, &count_data}, .summary = "counts by protocol, lets pass"},
    {.xdp = {"echo", program_echo, &echo_data}, .summary = "sends UDP back, lets the rest pass"},
    {.xdp = {"abort", program_abort, NULL}, .summary = "returns nonsense"},
};

struct net_program *program_builtin_at(unsigned index)
{
    return index < sizeof(programs) / sizeof(programs[0]) ? &programs[index] : NULL;
}
