// SPDX-License-Identifier: MIT
/* pkt flood: UDP datagrams as fast as the card takes them. Invariant: what it reports as sent went
 * into the transmit ring; each frame has a right checksum and a number of its own. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/patience.h"
#include "kernel/console.h"
#include "kernel/heap.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/pkt.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/arp.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/net_config.h"
#include "net/udp.h"
#include "net/wire.h"

#define SECONDS_UNLESS  10
#define FLOOD_BATCH     32
#define RESOLVE_NS      4000000000ull /* longer than ARP asks */
#define STUCK_NS        2000000000ull /* no room in the ring for so long: the card has stopped */
#define AT_IPV4         ETHERNET_HEADER_BYTES
#define AT_UDP          (AT_IPV4 + IPV4_HEADER_BYTES)
#define AT_PAYLOAD      (AT_UDP + UDP_HEADER_BYTES)
#define UDP_CHECKSUM    (AT_UDP + 6)
#define NUMBER_BYTES    4
#define FROM_PORT       9001
#define DO_NOT_FRAGMENT 0x4000

struct flood {
    struct pkt_run *run;
    uint32_t destination;
    uint64_t port, size, count; /* count 0: as many as the time allows */
    struct net_device *device;
    uint32_t next_hop;
    uint8_t mac[MAC_BYTES];   /* of the next hop */
    uint32_t checksum_base;   /* of the UDP datagram with number 0 */
    uint64_t sent, ring_full; /* times that the ring had no room */
    const char *ended_by;     /* NULL: count, time or Ctrl-C */
    struct packet *packets[FLOOD_BATCH];
    unsigned held; /* of packets: filled, and not yet taken by the card */
    uint8_t frame[FRAME_BYTES_MAX];
};

static bool next_hop_is_known(struct flood *flood)
{
    struct arp_view view;

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        if (arp_look(i, &view) && view.state == ARP_KNOWN && view.device == flood->device &&
            view.address == flood->next_hop) {
            memcpy(flood->mac, view.mac, MAC_BYTES);
            return true;
        }
    }
    return false;
}

static bool resolve_is_over(void *argument)
{
    struct flood *flood = argument;

    return next_hop_is_known(flood) || shell_interrupted(flood->run->session);
}

/* An echo request makes ARP ask; whether it is answered does not matter. */
static bool next_hop_resolve(struct flood *flood)
{
    struct icmp_ping_result result;
    char text[IPV4_TEXT_BYTES];

    if (!next_hop_is_known(flood)) {
        icmp_ping(flood->destination, 0, 0, RESOLVE_NS, resolve_is_over, flood, &result);
    }
    if (next_hop_is_known(flood)) {
        return true;
    }
    ipv4_format(flood->next_hop, text);
    console_print("%s: %s does not answer ARP\n", flood->run->command, text);
    return false;
}

/* The frame with number 0; frame_number() makes the others of it. */
static void frame_prepare(struct flood *flood)
{
    const struct net_device *device = flood->device;
    uint32_t source = __atomic_load_n(&device->ipv4_address, __ATOMIC_RELAXED);
    uint16_t udp_length = (uint16_t)(flood->size - AT_UDP);
    uint8_t *ipv4 = flood->frame + AT_IPV4;
    uint8_t *udp = flood->frame + AT_UDP;

    memcpy(flood->frame, flood->mac, MAC_BYTES);
    memcpy(flood->frame + MAC_BYTES, device->mac, MAC_BYTES);
    wire_put16(flood->frame + 2 * MAC_BYTES, ETHERTYPE_IPV4);
    ipv4[0] = 0x45; /* version 4, five words of header */
    wire_put16(ipv4 + 2, (uint16_t)(flood->size - AT_IPV4));
    wire_put16(ipv4 + 6, DO_NOT_FRAGMENT);
    ipv4[8] = IPV4_TTL;
    ipv4[9] = IPV4_PROTOCOL_UDP;
    wire_put32(ipv4 + 12, source);
    wire_put32(ipv4 + 16, flood->destination);
    wire_put16(ipv4 + 10, checksum_finish(checksum_add(0, ipv4, IPV4_HEADER_BYTES)));
    wire_put16(udp, FROM_PORT);
    wire_put16(udp + 2, (uint16_t)flood->port);
    wire_put16(udp + 4, udp_length);
    for (uint32_t i = AT_PAYLOAD + NUMBER_BYTES; i < flood->size; i++) {
        flood->frame[i] = (uint8_t)i;
    }
    flood->checksum_base = checksum_add(
        ipv4_pseudo_header_sum(source, flood->destination, IPV4_PROTOCOL_UDP, udp_length), udp,
        udp_length);
}

static void frame_fill(const struct flood *flood, struct packet *packet, uint32_t number)
{
    uint8_t *frame = packet_append(packet, (uint32_t)flood->size);
    uint8_t number_bytes[NUMBER_BYTES];
    uint16_t checksum;

    memcpy(frame, flood->frame, flood->size);
    wire_put32(number_bytes, number);
    memcpy(frame + AT_PAYLOAD, number_bytes, NUMBER_BYTES);
    checksum = checksum_finish(checksum_add(flood->checksum_base, number_bytes, NUMBER_BYTES));
    wire_put16(frame + UDP_CHECKSUM, checksum != 0 ? checksum : 0xffff); /* 0 would say: none */
}

/* Fills packets up to a batch, or as many as are still wanted and the pool has. */
static void batch_fill(struct flood *flood)
{
    uint64_t wanted = FLOOD_BATCH - flood->held;

    if (flood->count != 0 && flood->count - flood->sent - flood->held < wanted) {
        wanted = flood->count - flood->sent - flood->held;
    }
    unsigned got =
        packet_allocate_many(flood->device->pool, flood->packets + flood->held, (unsigned)wanted);

    for (unsigned i = 0; i < got; i++) {
        frame_fill(flood, flood->packets[flood->held], (uint32_t)(flood->sent + flood->held));
        flood->held++;
    }
}

static void batch_send(struct flood *flood)
{
    unsigned taken = net_device_transmit_many(
        flood->device, net_device_transmit_queue(flood->device), flood->packets, flood->held);

    flood->ring_full += taken < flood->held ? 1 : 0;
    flood->held -= taken;
    flood->sent += taken;
    memmove(flood->packets, flood->packets + taken, flood->held * sizeof(flood->packets[0]));
}

static bool is_counted_out(const struct flood *flood)
{
    return flood->count != 0 && flood->sent == flood->count;
}

/* Why the card cannot go on; NULL: it can. @patience: since it last took something. */
static const char *obstacle(const struct flood *flood, struct patience *patience)
{
    if (__atomic_load_n(&flood->device->is_dead, __ATOMIC_RELAXED)) {
        return "the card is dead; nic NAME reset may help";
    }
    if (!__atomic_load_n(&flood->device->link_is_up, __ATOMIC_RELAXED)) {
        return "the link is down";
    }
    return patience_spent(patience, clock_now_ns()) > STUCK_NS
               ? "the card sends nothing for seconds"
               : NULL;
}

/* A ring without room is waited for: its queue's poll thread, and other threads, have the CPU
 * meanwhile. */
static void flood_send_all(struct flood *flood)
{
    struct patience patience = patience_begin(clock_now_ns(), STUCK_NS);

    while (!is_counted_out(flood) && pkt_run_goes_on(flood->run)) {
        uint64_t before = flood->sent;

        batch_fill(flood);
        batch_send(flood);
        if (flood->sent != before) {
            patience = patience_begin(clock_now_ns(), STUCK_NS);
        } else {
            flood->ended_by = obstacle(flood, &patience);
            if (flood->ended_by != NULL) {
                break;
            }
            net_queue_kick(&flood->device->queues[net_device_transmit_queue(flood->device)]);
            thread_yield();
            cpu_relax();
        }
        pkt_run_show(flood->run, flood->sent, flood->sent * flood->size, "ring full",
                     flood->ring_full);
    }
    packet_free_many(flood->packets, flood->held);
}

/* For programs a field of the row; people get a line behind it. */
static void table_obstacle(struct table *table, const char *obstacle)
{
    if (obstacle != NULL) {
        table_text(table, "ended_by", 30, obstacle);
    } else {
        table_none(table, "ended_by", 30);
    }
}

static enum command_result flood_report(const struct flood *flood, uint64_t elapsed_ns)
{
    struct table table;

    table_begin(&table, "pkt.flood", flood->run->json);
    table_row(&table);
    table_address(&table, "host", flood->destination);
    table_number(&table, "port", 5, flood->port);
    table_number(&table, "frame_bytes", 11, flood->size);
    pkt_run_columns(&table, elapsed_ns, "sent", flood->sent, flood->sent * flood->size);
    table_number(&table, "ring_full", 9, flood->ring_full);
    if (flood->run->json) {
        table_obstacle(&table, flood->ended_by);
    }
    table_end_row(&table);
    table_end(&table);
    if (flood->ended_by != NULL && !flood->run->json) {
        console_print("%s: %s: %s\n", flood->run->command, flood->device->name, flood->ended_by);
    }
    return flood->ended_by != NULL ? COMMAND_FAILED : pkt_run_result(flood->run);
}

/* Whom a card can be made to send to. */
static bool destination_is_another(const struct flood *flood)
{
    char text[IPV4_TEXT_BYTES];
    bool is_own = net_config_owner(flood->destination) != NULL;
    uint32_t mask = __atomic_load_n(&flood->device->ipv4_mask, __ATOMIC_RELAXED);
    bool is_broadcast = flood->destination == IPV4_BROADCAST ||
                        (flood->next_hop == flood->destination &&
                         (flood->destination | mask) == UINT32_MAX && !is_own && mask < ~1u);

    if (is_own || is_broadcast) {
        ipv4_format(flood->destination, text);
        console_print("%s: %s is %s\n", flood->run->command, text,
                      is_own ? "this machine itself" : "a broadcast address");
    }
    return !is_own && !is_broadcast;
}

static enum command_result flood_run(struct flood *flood, int argc, char **argv)
{
    uint64_t seconds = SECONDS_UNLESS;
    const struct option options[] = {
        OPTION_JSON(&flood->run->json),
        OPTION_NUMBER("--port", &flood->port, 1, 65535),
        OPTION_NUMBER("--size", &flood->size, FRAME_BYTES_MIN, FRAME_BYTES_MAX),
        OPTION_NUMBER("--count", &flood->count, 1, UINT32_MAX),
        OPTION_NUMBER("--seconds", &seconds, 1, PKT_SECONDS_MAX),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1) ||
        !net_command_read_address(flood->run->command, argv[1], &flood->destination)) {
        return COMMAND_USAGE;
    }
    if (!net_command_route(flood->run->session, flood->run->command, flood->destination,
                           &flood->device, &flood->next_hop) ||
        !destination_is_another(flood) || !next_hop_resolve(flood)) {
        return COMMAND_FAILED;
    }
    frame_prepare(flood);
    pkt_run_begin(flood->run, seconds);
    flood_send_all(flood);
    return flood_report(flood, clock_now_ns() - flood->run->began_ns);
}

enum command_result pkt_flood_run(struct pkt_run *run, int argc, char **argv)
{
    struct flood *flood = heap_allocate(sizeof(*flood)); /* a frame: not on the stack */

    if (flood == NULL) {
        console_print("%s: out of memory\n", run->command);
        return COMMAND_FAILED;
    }
    flood->run = run;
    flood->port = UDP_PORT_DISCARD;
    flood->size = FRAME_BYTES_MIN;

    enum command_result result = flood_run(flood, argc, argv);

    heap_free(flood);
    return result;
}
