// SPDX-License-Identifier: MIT
/* Fuzzes net/: an input is a program of frames, programs' actions, packets sent, pings and time
 * that passes, run by the real packet path over the fake kernel and card of tests/host. Invariant:
 * no packet is lost (the pool holds all but those that wait for ARP); each frame that is received
 * ends exactly once, as the counters tell it; what is sent has a right form. Built by fuzz.mk, with
 * seeds by seeds.py. */
#include <stdlib.h>
#include <string.h>

#include "arch/clock.h"
#include "net/arp.h"
#include "net/dhcp_message.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/net_config.h"
#include "net/program.h"
#include "net/udp.h"
#include "net/udp_socket.h"
#include "net/wire.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/packet_form.h"
#include "tests/host/net_fake_device.h"
#include "tests/host/net_fake_kernel.h"

#define OPS_MAX         64
#define OPS_IN_PING_MAX 4
#define GENERATED       2 /* beside the five built-in programs */
#define OWN_ADDRESS     0x0a000001u
#define PEER_ADDRESS    0x0a000002u
#define GATE_ADDRESS    0x0a0000feu
#define NET_MASK        0xffffff00u
#define SOCKET_PORT     5000
#define SOCKET_DEPTH    2
#define FRAME_MAX       1600 /* longer than any that is good */
#define TICK_NS         100000000ull

enum frame_kind { FRAME_UDP, FRAME_ICMP, FRAME_OTHER, FRAME_ARP, FRAME_KINDS };
enum {
    FRAME_BREAKS_HEADER = 1,  /* leaves the checksum of the IP header as the patches make it */
    FRAME_BREAKS_PAYLOAD = 2, /* and that of UDP or ICMP */
    FRAME_TO_ALL = 4,
    FRAME_HAS_OPTIONS = 8,
};

static struct net_device *device;
static struct udp_socket *udp_socket;
static struct input
    *ping_input; /* where a ping that waits takes its frames from; NULL: none does */
static unsigned program_action = NET_ACTION_PASS;
static unsigned checked; /* of net_fake_sent */

static const uint32_t addresses[] = {
    PEER_ADDRESS, OWN_ADDRESS, GATE_ADDRESS, 0x0a0000ff, 0xffffffff,
    0x08080808,   0,           0x7f000001,   0xe0000001, PEER_ADDRESS + 1};
static const uint16_t ports[] = {7, 9, 37, SOCKET_PORT, 4000, 67, 68, 0};

static uint32_t take_address(struct input *input)
{
    unsigned choice = (unsigned)input_take(input, 1);

    return choice < sizeof(addresses) / sizeof(addresses[0]) ? addresses[choice]
                                                             : 0x0a000000u + choice;
}

static uint16_t take_port(struct input *input)
{
    unsigned choice = (unsigned)input_take(input, 1);

    return choice < sizeof(ports) / sizeof(ports[0]) ? ports[choice] : (uint16_t)(choice * 251);
}

static unsigned obey(const void *context, const void *instructions)
{
    const struct packet *packet = context;

    (void)instructions;
    if (program_action >= NET_ACTION_COUNT) {
        packet->data[packet->length / 2] ^= 1; /* a program may change what it likes */
    }
    return program_action;
}

/* One that obeys the input, a built-in or a generated one, or none. */
static void attach(unsigned number)
{
    static struct net_program obeys;
    struct net_program *program = number == 0 ? &obeys : net_program_at(number - 1);

    if (obeys.xdp.name == NULL) {
        net_program_initialize(&obeys, "obeys", obey, NULL);
    }
    if (program == NULL) {
        net_program_detach_all(device);
    } else {
        enum net_program_status status =
            net_program_attach(device, NET_PROGRAM_ALL_QUEUES, program, NULL);

        FUZZ_CHECK(status == NET_PROGRAM_OK || status == NET_PROGRAM_SAME, "%s: %s",
                   program->xdp.name, net_program_status_text(status));
    }
}

static uint64_t waiting_for_arp(void)
{
    struct arp_view view;
    uint64_t waiting = 0;

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        if (arp_look(i, &view)) {
            FUZZ_CHECK(view.pending <= ARP_PENDING_MAX, "%u packets wait for one", view.pending);
            waiting += view.pending;
        }
    }
    return waiting;
}

/* Takes out what the socket holds; returns how many. */
static uint64_t read_socket(void)
{
    struct packet *packet;
    uint64_t count = 0;

    while ((packet = udp_socket_receive(udp_socket, clock_now_ns(), NULL)) != NULL) {
        FUZZ_CHECK(packet->length <= UDP_PAYLOAD_MAX, "payload of %u bytes", packet->length);
        packet_free(packet);
        count++;
    }
    FUZZ_CHECK(count <= SOCKET_DEPTH, "a socket held %lu packets", count);
    return count;
}

/* Counters that say how often a packet ended; those left out have none. */
static uint64_t count_drops(void)
{
    uint64_t drops = 0;

    for (unsigned i = NET_DROP_PROGRAM; i < NET_COUNTER_COUNT; i++) {
        drops += i == NET_DROP_NO_PACKET || i == NET_DROP_UDP_PORT
                     ? 0
                     : net_counter_read((enum net_counter)i);
    }
    return drops;
}

struct census {
    uint64_t drops, closed_ports, sent, asked, errors, waiting, received_arp, received_icmp;
};

static struct census census_take(void)
{
    return (struct census){
        .drops = count_drops(),
        .closed_ports = net_counter_read(NET_DROP_UDP_PORT),
        .sent = net_fake_sent_count,
        .asked = net_counter_read(NET_SENT_ARP),
        .errors = net_counter_read(NET_SENT_ICMP),
        .waiting = waiting_for_arp(),
        .received_arp = net_counter_read(NET_RECEIVED_ARP),
        .received_icmp = net_counter_read(NET_RECEIVED_ICMP),
    };
}

/* One frame came in, and packets waited before. Each is dropped, sent, read from the socket, waits
 * still, or was taken: by ARP, that learnt from it; by a ping; or by a closed port. A frame that is
 * answered is its own answer. */
static void check_ends(const struct census *before, uint64_t read)
{
    struct census after = census_take();
    uint64_t came = 1 + before->waiting;
    uint64_t ended = after.drops - before->drops + after.sent - before->sent + read + after.waiting;
    bool is_closed = after.closed_ports != before->closed_ports;
    bool may_be_taken = after.received_arp != before->received_arp ||
                        (after.received_icmp != before->received_icmp && ping_input != NULL) ||
                        (is_closed && after.errors == before->errors);

    FUZZ_CHECK(ended == came || (may_be_taken && ended + 1 == came),
               "%lu packets, %lu ends (%lu drops, %lu sent, %lu read, %lu wait)", came, ended,
               after.drops - before->drops, after.sent - before->sent, read, after.waiting);
    FUZZ_CHECK(after.closed_ports - before->closed_ports <= 1, "one frame, several closed ports");
}

static void check_none_lost(void)
{
    uint64_t waiting = waiting_for_arp();
    unsigned held = net_fake_held(device);

    FUZZ_CHECK(held == waiting, "%u packets are not in the pool, %lu wait for ARP", held, waiting);
}

/* What was sent and not looked at yet, unless a program has sent it, whatever it is. */
static void check_sent(void)
{
    static uint64_t program_sent;
    bool is_by_program = net_counter_read(NET_PROGRAM_TX) != program_sent;

    for (; checked < net_fake_sent_count && checked < NET_FAKE_SENT_MAX; checked++) {
        if (!is_by_program) {
            packet_check_form(net_fake_sent[checked].bytes, net_fake_sent[checked].length,
                              device->mac);
        }
    }
    program_sent = net_counter_read(NET_PROGRAM_TX);
}

static void frame_receive(const uint8_t *bytes, uint32_t length)
{
    struct census before = census_take();

    if (!net_fake_receive(device, bytes, length, (uint8_t)length)) {
        return; /* all packets wait */
    }
    check_ends(&before, read_socket());
    FUZZ_CHECK(program_action != NET_ACTION_PASS || net_fake_sent_count == before.sent ||
                   packet_may_be_answered(bytes, length, device->mac),
               "a frame to a group, or from no single other station, was answered");
    check_sent();
}

/* Up to three bytes of a frame become others. */
static void frame_patch(struct input *input, uint8_t *bytes, uint32_t length)
{
    for (unsigned left = (unsigned)input_take(input, 1) % 4; left > 0 && length > 0; left--) {
        unsigned at = (unsigned)input_take(input, 2) % length;

        bytes[at] = (uint8_t)input_take(input, 1);
    }
}

static void frame_fill(struct input *input, unsigned kind, unsigned flags, uint8_t *bytes,
                       uint32_t payload)
{
    static const uint8_t options[] = {1, 7, 7, 4, 0, 0, 0, 0};
    struct packet_form form = {
        .bytes = bytes,
        .destination_mac = (flags & FRAME_TO_ALL) ? mac_of_all : device->mac,
        .source = take_address(input),
        .destination = take_address(input),
        .options = options,
        .options_length = (flags & FRAME_HAS_OPTIONS) ? sizeof(options) : 0,
        .payload = payload,
    };

    if (kind == FRAME_ARP) {
        packet_form_arp(&form, 1 + (unsigned)input_take(input, 1) % 2);
    } else if (kind == FRAME_UDP) {
        form.source_port = take_port(input);
        form.destination_port = take_port(input);
        packet_form_udp(&form);
    } else if (kind == FRAME_ICMP) {
        packet_form_icmp(&form, (unsigned)input_take(input, 1), (unsigned)input_take(input, 1));
    } else {
        packet_form_ipv4(&form, (uint8_t)input_take(input, 1));
    }
}

static void op_frame(struct input *input)
{
    unsigned kind = (unsigned)input_take(input, 1) % FRAME_KINDS;
    unsigned flags = (unsigned)input_take(input, 1);
    uint32_t payload = (uint32_t)input_take(input, 2) % (FRAME_BYTES_MAX - 14 - 60);
    uint8_t bytes[PACKET_BUFFER_BYTES] = {0};
    uint32_t length;

    frame_fill(input, kind, flags, bytes, payload);
    length = packet_form_length(bytes);
    frame_patch(input, bytes, length);
    if (kind != FRAME_ARP) {
        packet_form_fix(bytes, length, !(flags & FRAME_BREAKS_HEADER),
                        !(flags & FRAME_BREAKS_PAYLOAD));
    }
    if (flags & 0x80) { /* cut, or longer than it says */
        length = (uint32_t)input_take(input, 2) % FRAME_MAX;
    }
    frame_receive(bytes, length);
}

static void op_bytes(struct input *input)
{
    uint8_t bytes[FRAME_MAX] = {0};
    uint32_t length = (uint32_t)input_take(input, 2) % FRAME_MAX;
    size_t given = (size_t)input_take(input, 1);

    input_take_bytes(input, bytes, given < length ? given : length);
    frame_receive(bytes, length);
}

/* The last frame that was sent comes back, as the answer of whom it was sent to. */
static void op_turn_around(struct input *input)
{
    uint8_t bytes[PACKET_BUFFER_BYTES];
    uint32_t length;

    if (net_fake_sent_count == 0 || net_fake_sent_count > NET_FAKE_SENT_MAX) {
        return;
    }
    length = net_fake_sent[net_fake_sent_count - 1].length;
    memcpy(bytes, net_fake_sent[net_fake_sent_count - 1].bytes, length);
    packet_form_turn(bytes, length, device->mac);
    frame_patch(input, bytes, length);
    packet_form_fix(bytes, length, true, true);
    frame_receive(bytes, length);
}

static void op_program(struct input *input)
{
    unsigned choice = (unsigned)input_take(input, 1);

    program_action = choice % 8;
    attach(choice / 8 % 8);
}

static void op_time(struct input *input)
{
    net_fake_now_ns += TICK_NS * (1 + input_take(input, 1));
    arp_tick(net_fake_now_ns);
}

static void op_trouble(struct input *input)
{
    unsigned bits = (unsigned)input_take(input, 1);
    uint32_t address = (bits & 4) ? 0 : OWN_ADDRESS;

    net_fake_ring_is_full = bits & 1;
    net_device_set_link(device, !(bits & 2));
    if (address != device->ipv4_address) {
        net_config_set_address(device, address, NET_MASK, NET_CONFIG_STATIC);
        net_config_set_gateway(GATE_ADDRESS);
    }
}

static void op_send(struct input *input)
{
    struct packet *packet = packet_allocate(device->pool);
    uint32_t length = (uint32_t)input_take(input, 2) % (FRAME_MAX - 100);
    unsigned flags = (unsigned)input_take(input, 1);
    uint32_t destination = take_address(input);
    uint16_t port = take_port(input);

    if (packet == NULL) {
        return;
    }
    memset(packet_append(packet, length), (int)flags, length);
    udp_send((flags & 1) ? device : NULL, SOCKET_PORT, destination, port, packet);
    read_socket();
    check_sent();
}

static void run_ops(struct input *input, unsigned most);

/* Not while somebody looks into the socket: that waits too. */
static void frames_while_a_ping_waits(void)
{
    static bool is_running;

    if (ping_input != NULL && !is_running) {
        is_running = true;
        run_ops(ping_input, OPS_IN_PING_MAX);
        is_running = false;
    }
}

static void op_ping(struct input *input)
{
    uint32_t destination = take_address(input), payload = (uint32_t)input_take(input, 2) % 1500;
    struct icmp_ping_result result;

    if (ping_input != NULL) {
        return; /* one at a time */
    }
    ping_input = input;
    icmp_ping(destination, 1, payload, TICK_NS, NULL, NULL, &result);
    ping_input = NULL;
    FUZZ_CHECK(result.outcome <= ICMP_PING_WRONG_PAYLOAD, "outcome %d", result.outcome);
    FUZZ_CHECK(result.outcome != ICMP_PING_ANSWERED || result.from == destination,
               "%x answers for %x", result.from, destination);
    check_sent();
}

/* In a buffer of its own, so that the sanitizer sees who reads behind it. */
static void op_dhcp(struct input *input)
{
    size_t length = (size_t)input_take(input, 2) % 700, given = (size_t)input_take(input, 2);
    uint8_t *bytes = calloc(1, length + 1), *message = malloc(length);
    struct dhcp_answer answer = {0};

    input_take_bytes(input, bytes, given < length ? given : length);
    if (length > 0) {
        memcpy(message, bytes, length);
    }
    if (dhcp_answer_read(message, length, device->mac, &answer) == NULL) {
        FUZZ_CHECK(answer.type == DHCP_OFFER || answer.type == DHCP_ACK || answer.type == DHCP_NAK,
                   "DHCP answer of type %d", answer.type);
    }
    free(message);
    free(bytes);
}

static void run_ops(struct input *input, unsigned most)
{
    static void (*const ops[])(struct input * input) = {
        op_frame,   op_bytes, op_turn_around, op_program, op_time,
        op_trouble, op_send,  op_ping,        op_dhcp,
    };

    for (unsigned i = 0; i < most && !input_is_empty(input); i++) {
        ops[input_take(input, 1) % (sizeof(ops) / sizeof(ops[0]))](input);
        check_none_lost();
    }
}

static void start_once(void)
{
    if (device == NULL) {
        net_fake_now_ns = 1000000000;
        device = net_fake_device_add(0, OWN_ADDRESS, NET_MASK);
        udp_services_initialize();
        udp_socket = udp_socket_open(SOCKET_PORT, SOCKET_DEPTH, false);
        FUZZ_CHECK(device != NULL && udp_socket != NULL, "no device or no socket");
        net_fake_on_wait = frames_while_a_ping_waits;
        for (uint32_t number = 0; number < GENERATED; number++) {
            struct net_program *program;

            FUZZ_CHECK(net_program_generate(number, &program, NULL) == NET_PROGRAM_OK,
                       "gen%u is not generated", number);
        }
    }
}

/* What an earlier input left behind is undone or so long ago that it does not matter. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.bytes = data, .size = size};

    start_once();
    program_action = NET_ACTION_PASS;
    net_program_detach_all(device);
    op_trouble(&(struct input){.size = 0});
    arp_forget(NULL);
    net_fake_now_ns += 1000000000000;
    net_fake_log[0] = '\0';
    net_fake_sent_count = 0;
    checked = 0;
    run_ops(&input, OPS_MAX);
    arp_forget(NULL);
    FUZZ_CHECK(net_fake_held(device) == 0, "%u packets are lost", net_fake_held(device));
    return 0;
}
