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
#define IS_LATER_FRAGMENT 0x1fff
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
enum { COUNT_ARP, COUNT_ICMP, COUNT_UDP, COUNT_TCP, COUNT_IPV4, COUNT_IPV6, COUNT_OTHER, COUNTS };

/* And by destination port: a few ports of each queue, those met most often but for accidents. One
 * word holds port and frames, so that a reader never sees the frames of one beside the other. */
#define PORT_ROWS      16
#define PORT_KEY_SHIFT 47
#define PORT_KEY_TCP   (1u << 16) /* beside the port; clear: UDP */
#define PORT_FRAMES    ((1ull << PORT_KEY_SHIFT) - 1)

static struct port_rows {
    uint64_t words[PORT_ROWS]; /* atomic; 0: free; one writer, the poll thread of the queue */
    unsigned next;             /* that thread's: where it looks first for a place */
} port_rows[NET_DEVICE_MAX * NET_QUEUE_MAX];

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

/* Where the ports stand in a UDP or TCP frame, behind options, too; NULL: it has none, for it is a
 * later fragment, or datagram or frame end in front of them. */
static const uint8_t *frame_ports(const struct packet *packet)
{
    const uint8_t *ipv4 = frame_ipv4(packet);
    uint32_t header = ipv4 != NULL ? (ipv4[IPV4_VERSION] & 15) * 4u : 0;
    uint32_t end = header + 2 * sizeof(uint16_t);

    if (header < IPV4_HEADER_BYTES || end > packet->length - AT_IPV4 ||
        end > wire_get16(ipv4 + IPV4_TOTAL_LENGTH) ||
        (wire_get16(ipv4 + IPV4_FRAGMENT) & IS_LATER_FRAGMENT) != 0) {
        return NULL;
    }
    return ipv4 + header;
}

/* Counts a frame to @key. A port that is not listed takes the place of the one with the fewest
 * frames, which are forgotten here and stay among those of the protocol; of several such places
 * each has its turn, or two new ports would push out each other for ever. */
static void port_count(struct port_rows *rows, uint32_t key)
{
    unsigned place = rows->next;
    uint64_t word;

    for (unsigned n = 0; n < PORT_ROWS; n++) {
        unsigned i = (rows->next + n) % PORT_ROWS;

        word = __atomic_load_n(&rows->words[i], __ATOMIC_RELAXED);
        if (word != 0 && word >> PORT_KEY_SHIFT == key) {
            counter_add(&rows->words[i]);
            return;
        }
        if ((word & PORT_FRAMES) <
            (__atomic_load_n(&rows->words[place], __ATOMIC_RELAXED) & PORT_FRAMES)) {
            place = i;
        }
    }
    rows->next = (place + 1) % PORT_ROWS;
    word = (uint64_t)key << PORT_KEY_SHIFT | 1;
    __atomic_store_n(&rows->words[place], word, __ATOMIC_RELAXED); /* as counter_add() */
}

PROGRAM(program_count)
{
    const struct packet *packet = context;
    struct net_program_slot *slot = slot_of(packet, instructions);
    unsigned kind = count_kind(packet);

    counter_add(&slot->runs);
    counter_add(&slot->counts[kind]);
    if (kind == COUNT_UDP || kind == COUNT_TCP) {
        const uint8_t *ports = frame_ports(packet);

        if (ports != NULL) {
            port_count(&port_rows[packet->device->index * NET_QUEUE_MAX + packet->queue],
                       (kind == COUNT_TCP ? PORT_KEY_TCP : 0) |
                           wire_get16(ports + sizeof(uint16_t)));
        }
    }
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
    {.xdp = {"count", program_count, &count_data},
     .summary = "counts by protocol and port, lets pass"},
    {.xdp = {"echo", program_echo, &echo_data}, .summary = "sends UDP back, lets the rest pass"},
    {.xdp = {"abort", program_abort, NULL}, .summary = "returns nonsense"},
};

/* Of a queue that was there when the caller looked. */
static bool port_row_read(const struct port_rows *rows, unsigned index,
                          struct net_program_count_row *row)
{
    uint64_t word = __atomic_load_n(&rows->words[index], __ATOMIC_RELAXED);
    uint32_t key = (uint32_t)(word >> PORT_KEY_SHIFT);

    *row = (struct net_program_count_row){.protocol = (key & PORT_KEY_TCP) != 0 ? "tcp" : "udp",
                                          .port = key & UINT16_MAX,
                                          .frames = word & PORT_FRAMES};
    return word != 0;
}

static uint64_t listed_frames(const struct port_rows *rows, const char *protocol)
{
    struct net_program_count_row row;
    uint64_t sum = 0;

    for (unsigned i = 0; i < PORT_ROWS; i++) {
        if (port_row_read(rows, i, &row) && row.protocol[0] == protocol[0]) {
            sum += row.frames;
        }
    }
    return sum;
}

unsigned net_program_counts(const struct net_device *device, uint32_t queue,
                            struct net_program_count_row rows[NET_PROGRAM_COUNT_ROWS])
{
    static const char *const names[COUNTS] = {"arp", "icmp", "udp", "tcp", "ipv4", "ipv6", "other"};
    unsigned slot = device->index * NET_QUEUE_MAX + queue, count = 0;

    if (queue >= device->queue_count) {
        return 0;
    }
    for (unsigned i = 0; i < PORT_ROWS; i++) {
        count += port_row_read(&port_rows[slot], i, &rows[count]);
    }
    for (unsigned kind = 0; kind < COUNTS; kind++) {
        uint64_t listed = kind == COUNT_UDP || kind == COUNT_TCP
                              ? listed_frames(&port_rows[slot], names[kind])
                              : 0;
        uint64_t all = __atomic_load_n(&count_data.slots[slot].counts[kind], __ATOMIC_RELAXED);

        rows[count] = (struct net_program_count_row){names[kind], NET_PROGRAM_NO_PORT,
                                                     all > listed ? all - listed : 0};
        count += rows[count].frames != 0;
    }
    return count;
}
_Static_assert(PORT_ROWS + COUNTS == NET_PROGRAM_COUNT_ROWS, "program.h says how many");

struct net_program *program_builtin_at(unsigned index)
{
    return index < sizeof(programs) / sizeof(programs[0]) ? &programs[index] : NULL;
}
