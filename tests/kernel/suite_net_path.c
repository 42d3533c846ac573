// SPDX-License-Identifier: MIT
/* The way of a frame through ethernet, ARP, IPv4 and UDP to a handler or socket and back: on a card
 * in memory (fake_nic.h), frame by frame. All counts are exact. */
#include "arch/clock.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/arp.h"
#include "net/counters.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/udp.h"
#include "net/udp_socket.h"
#include "net/wire.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/net_frames.h"
#include "tests/kernel/net_station.h"
#include "tests/kernel/test.h"

/* ---- one place for every frame ---- */

/* A right UDP frame to a port that is open, spoilt in one or two places: what becomes of it. */
static const struct spoilt {
    const char *what;
    enum net_counter counter;
    uint16_t length; /* 0: as it is */
    struct {
        uint8_t at, value;
    } edits[2];     /* at 0 with value 0: none */
    bool is_summed; /* the IPv4 checksum is made right behind the edits */
} spoilt_frames[] = {
    {"short frame", NET_DROP_FRAME_SHORT, 13, {{0}}, false},
    {"long frame", NET_DROP_FRAME_LONG, 1515, {{0}}, false},
    {"another's MAC", NET_DROP_NOT_FOR_US, 0, {{0, 0x04}}, false},
    {"from a group", NET_DROP_ETHERNET_SOURCE, 0, {{6, 0x03}}, false},
    {"unknown type", NET_DROP_ETHERTYPE, 0, {{12, 0x88}, {13, 0xb5}}, false},
    {"header cut", NET_DROP_IPV4_SHORT, 33, {{0}}, false},
    {"version 6", NET_DROP_IPV4_VERSION, 0, {{14, 0x65}}, true},
    {"header of 16", NET_DROP_IPV4_HEADER_LENGTH, 0, {{14, 0x44}}, false},
    {"header of 60", NET_DROP_IPV4_HEADER_LENGTH, 0, {{14, 0x4f}}, false},
    {"header sum", NET_DROP_IPV4_CHECKSUM, 0, {{22, 0x3f}}, false},
    {"total too long", NET_DROP_IPV4_TOTAL_LENGTH, 0, {{16, 0xff}}, true},
    {"total below header", NET_DROP_IPV4_TOTAL_LENGTH, 0, {{16, 0}, {17, 19}}, true},
    {"option lies", NET_DROP_IPV4_OPTIONS, 0, {{14, 0x46}, {35, 0x28}}, true},
    {"from multicast", NET_DROP_IPV4_SOURCE, 0, {{26, 0xe0}}, true},
    {"to another", NET_DROP_IPV4_NOT_FOR_US, 0, {{33, 0x77}}, true},
    {"more fragments", NET_DROP_IPV4_FRAGMENT, 0, {{20, 0x20}}, true},
    {"last fragment", NET_DROP_IPV4_FRAGMENT, 0, {{21, 0x01}}, true},
    {"protocol 99", NET_DROP_IPV4_PROTOCOL, 0, {{23, 99}}, true},
    {"datagram cut", NET_DROP_UDP_SHORT, 0, {{16, 0}, {17, 24}}, true},
    {"udp too long", NET_DROP_UDP_LENGTH, 0, {{38, 0xff}}, false},
    {"udp sum", NET_DROP_UDP_CHECKSUM, 0, {{50, 0xa5}}, false},
    {"closed port", NET_DROP_UDP_PORT, 0, {{36, 0x12}, {40, 0}}, false},
    {"icmp cut", NET_DROP_ICMP_SHORT, 24, {{17, 24}, {23, 1}}, true},
    {"icmp sum", NET_DROP_ICMP_CHECKSUM, 0, {{23, 1}, {34, 8}}, true},
};

static uint32_t frame_spoil(uint8_t *frame, uint32_t length, const struct spoilt *spoilt)
{
    for (unsigned i = 0; i < 2; i++) {
        if (spoilt->edits[i].at != 0 || spoilt->edits[i].value != 0) {
            frame[spoilt->edits[i].at] = spoilt->edits[i].value;
        }
    }
    if (spoilt->is_summed) {
        wire_put16(frame + 24, 0);
        wire_put16(frame + 24,
                   checksum_finish(checksum_add(0, frame + 14, (frame[14] & 0xfu) * 4)));
    }
    if (spoilt->counter == NET_DROP_UDP_PORT) { /* no checksum: the port was part of it */
        wire_put16(frame + 40, 0);
    }
    return spoilt->length != 0 && spoilt->length != 24 ? spoilt->length : length;
}

static void counters_read(uint64_t values[NET_COUNTER_COUNT])
{
    for (enum net_counter i = 0; i < NET_COUNTER_COUNT; i++) {
        values[i] = net_counter_read(i);
    }
}

/* Drops since @before, by all reasons. */
static uint64_t drops_since(const uint64_t before[NET_COUNTER_COUNT])
{
    uint64_t sum = 0;

    for (enum net_counter i = NET_DROP_PROGRAM; i < NET_COUNTER_COUNT; i++) {
        sum += net_counter_read(i) - before[i];
    }
    return sum;
}

static void every_frame_ends_in_one_counter(struct test *test)
{
    static uint64_t before[NET_COUNTER_COUNT];
    static uint8_t frame[PACKET_BUFFER_BYTES];
    struct net_station station;

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }
    for (size_t i = 0; i < sizeof(spoilt_frames) / sizeof(spoilt_frames[0]); i++) {
        const struct spoilt *spoilt = &spoilt_frames[i];
        uint32_t length = net_station_frame(&station, frame, NET_STATION_SINK_PORT, 18, i);

        counters_read(before);
        length = frame_spoil(frame, length, spoilt);
        EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame, length));
        EXPECT(test, fake_nic_settle(station.nic));
        if (!EXPECT_EQUAL(test, net_counter_read(spoilt->counter) - before[spoilt->counter], 1) ||
            !EXPECT_EQUAL(test, drops_since(before), 1)) {
            test_expect(test, false, spoilt->what, __FILE__, __LINE__);
        }
    }
    EXPECT_EQUAL(test, station.sunk, 0);
    fake_nic_inject_patiently(station.nic, 0, frame,
                              net_station_frame(&station, frame, NET_STATION_SINK_PORT, 18, 1));
    EXPECT(test, fake_nic_settle(station.nic));
    EXPECT_EQUAL(test, station.sunk, 1); /* the same frame, unspoilt */
    net_station_close(test, &station);
}

/* ---- echo ---- */

/* Sends it in and takes the answer; false, having said what is wrong with it. */
static bool echo_is_right(struct test *test, struct net_station *station, uint32_t payload)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    uint64_t before = fake_nic_captured(station->nic);
    uint32_t length = net_station_frame(station, frame, UDP_PORT_ECHO, payload, payload);
    struct frame_udp answer;

    return EXPECT(test, fake_nic_inject_patiently(station->nic, 0, frame, length)) &&
           EXPECT(test, net_station_wait_captured(station, before + 1)) &&
           EXPECT_EQUAL(test, station->nic->last_length, length) &&
           EXPECT(test, frame_read_udp(station->nic->last_frame, length, &answer)) &&
           EXPECT_EQUAL(test, answer.length, payload) &&
           EXPECT_EQUAL(test, answer.source, NET_STATION_ADDRESS) &&
           EXPECT_EQUAL(test, answer.destination, NET_STATION_PEER) &&
           EXPECT_EQUAL(test, answer.source_port, UDP_PORT_ECHO) &&
           EXPECT_EQUAL(test, answer.destination_port, NET_STATION_PEER_PORT) &&
           EXPECT(test, memcmp(answer.to, net_station_peer_mac, MAC_BYTES) == 0) &&
           EXPECT(test, memcmp(answer.from, station->nic->device.mac, MAC_BYTES) == 0) &&
           EXPECT(test, memcmp(answer.payload, frame + FRAME_UDP_HEADERS, payload) == 0);
}

/* Every size of a frame, 60 to 1514, and payloads that a frame pads. A wrong byte, length, sum or
 * address anywhere is seen, for the answer is read by other code than made it. */
static void echo_returns_every_byte_of_every_size(struct test *test)
{
    struct net_station station;

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }
    for (uint32_t payload = 0; payload <= UDP_PAYLOAD_MAX; payload++) {
        if (test_should_stop(test) || !echo_is_right(test, &station, payload)) {
            break;
        }
    }
    net_station_close(test, &station);
}

/* ---- ARP ---- */

static void arp_answers_for_its_own_address(struct test *test)
{
    static const uint8_t nobody[MAC_BYTES];
    struct net_station station;
    uint8_t frame[FRAME_BYTES_MIN], wanted[FRAME_BYTES_MIN];

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }
    frame_make_arp(frame, 1, net_station_peer_mac, NET_STATION_PEER, nobody, NET_STATION_ADDRESS);
    memset(frame, 0xff, MAC_BYTES);
    frame_make_arp(wanted, 2, station.nic->device.mac, NET_STATION_ADDRESS, net_station_peer_mac,
                   NET_STATION_PEER);

    uint64_t before = fake_nic_captured(station.nic);

    EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame, sizeof(frame)));
    EXPECT(test, net_station_wait_captured(&station, before + 1));
    EXPECT(test, memcmp(station.nic->last_frame, wanted, sizeof(wanted)) == 0);
    wire_put32(frame + 38, NET_STATION_PEER + 1); /* asks for another */
    EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame, sizeof(frame)));
    EXPECT(test, fake_nic_settle(station.nic));
    EXPECT_EQUAL(test, fake_nic_captured(station.nic), before + 1);
    net_station_close(test, &station);
}

static unsigned neighbours_of(const struct net_device *device)
{
    struct arp_view view;
    unsigned count = 0;

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        count += arp_look(i, &view) && view.device == device;
    }
    return count;
}

/* A packet waits until the neighbour answers, then goes out behind the question; a flood of answers
 * to questions that nobody asked teaches nothing. */
static void arp_learns_only_what_it_asked(struct test *test)
{
    struct net_station station;
    uint8_t frame[FRAME_BYTES_MIN];

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }

    struct net_device *device = &station.nic->device;
    uint64_t not_for_us = net_counter_read(NET_DROP_ARP_NOT_FOR_US);

    for (uint32_t i = 0; i < 200; i++) {
        frame_make_arp(frame, 2, net_station_peer_mac, NET_STATION_PEER + i, device->mac,
                       NET_STATION_ADDRESS);
        EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame, sizeof(frame)));
    }
    EXPECT(test, fake_nic_settle(station.nic));
    EXPECT_EQUAL(test, neighbours_of(device), 0);
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_ARP_NOT_FOR_US) - not_for_us, 200);

    uint64_t before = fake_nic_captured(station.nic);
    struct packet *packet = packet_allocate(device->pool);

    memset(packet_append(packet, 100), 0x5a, 100);
    udp_send(device, 1234, NET_STATION_PEER, 4321, packet);
    EXPECT(test, net_station_wait_captured(&station, before + 1));
    EXPECT_EQUAL(test, wire_get16(station.nic->last_frame + 12), 0x0806);
    EXPECT_EQUAL(test, wire_get32(station.nic->last_frame + 38), NET_STATION_PEER);
    frame_make_arp(frame, 2, net_station_peer_mac, NET_STATION_PEER, device->mac,
                   NET_STATION_ADDRESS);
    EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame, sizeof(frame)));
    EXPECT(test, net_station_wait_captured(&station, before + 2));
    EXPECT_EQUAL(test, station.nic->last_length, FRAME_UDP_HEADERS + 100);
    EXPECT(test, memcmp(station.nic->last_frame, net_station_peer_mac, MAC_BYTES) == 0);
    EXPECT_EQUAL(test, neighbours_of(device), 1);
    net_station_close(test, &station);
}

/* Nobody answers: three questions, then the packets that waited are dropped and counted. Time is
 * told to it, not waited for. */
static void arp_gives_up_and_frees_what_waits(struct test *test)
{
    struct net_station station;

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }

    struct net_device *device = &station.nic->device;
    uint64_t unresolved = net_counter_read(NET_DROP_ARP_UNRESOLVED);
    uint64_t now_ns = clock_now_ns();
    const unsigned packets = ARP_PENDING_MAX + 2; /* two more than may wait */

    EXPECT(test, fake_nic_settle(station.nic));
    for (unsigned i = 0; i < packets; i++) {
        struct packet *packet = packet_allocate(device->pool);

        memset(packet_append(packet, 20), 0, 20);
        udp_send(device, 1, NET_STATION_PEER, 2, packet);
    }
    EXPECT_EQUAL(test, net_device_census(device).elsewhere, ARP_PENDING_MAX);
    for (unsigned i = 1; i <= ARP_REQUESTS_MAX + 1; i++) {
        arp_tick(now_ns + i * (ARP_RETRY_NS + 1000000000ull));
    }
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_ARP_UNRESOLVED) - unresolved, packets);
    EXPECT_EQUAL(test, net_device_census(device).elsewhere, 0);
    net_station_close(test, &station);
}

/* ---- ports and sockets ---- */

#define SOCKET_PORT  7001
#define SOCKET_DEPTH 8u

/* Twenty datagrams for a queue of eight: eight are there, in order, with their senders; the others
 * are counted twice, in the socket and in the counter; those that nobody read are freed. */
static void socket_keeps_its_depth_and_order(struct test *test)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    struct net_station station;
    struct udp_sender sender;
    struct packet *packet;

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }

    struct udp_socket *socket = udp_socket_open(SOCKET_PORT, SOCKET_DEPTH, false);
    uint64_t full = net_counter_read(NET_DROP_SOCKET_FULL);

    if (EXPECT(test, socket != NULL)) {
        EXPECT(test, udp_socket_open(SOCKET_PORT, SOCKET_DEPTH, false) == NULL);
        for (uint32_t i = 0; i < 20; i++) {
            uint32_t length = net_station_frame(&station, frame, SOCKET_PORT, 30 + i, i);

            EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame, length));
        }
        EXPECT(test, fake_nic_idle(station.nic));
        EXPECT_EQUAL(test, net_counter_read(NET_DROP_SOCKET_FULL) - full, 12);
        EXPECT_EQUAL(test, udp_socket_dropped(socket), 12);
        for (uint32_t i = 0; i < SOCKET_DEPTH / 2; i++) {
            packet = udp_socket_receive(socket, clock_now_ns(), &sender);
            if (EXPECT(test, packet != NULL)) {
                EXPECT_EQUAL(test, packet->length, 30 + i);
                EXPECT_EQUAL(test, packet->received_ns, 0);
                EXPECT_EQUAL(test, sender.address, NET_STATION_PEER);
                EXPECT_EQUAL(test, sender.port, NET_STATION_PEER_PORT);
                packet_free(packet);
            }
        }
        udp_socket_close(socket); /* with the other half in it */
    }
    net_station_close(test, &station);
}

/* The four places where frames come in or are taken over; as in seed 5. */
static void netstamp_has_four_sites(struct test *test)
{
    EXPECT_EQUAL(test, netstamp_needed.site_count, 4);
}

/* One datagram to a socket. Returns its stamp, UINT64_MAX if it did not come. */
static uint64_t stamp_of_next(struct net_station *station, struct udp_socket *socket)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    uint32_t length = net_station_frame(station, frame, SOCKET_PORT, 18, 1);
    uint64_t stamp_ns = UINT64_MAX;

    if (fake_nic_inject_patiently(station->nic, 0, frame, length)) {
        struct packet *packet = udp_socket_receive(socket, clock_now_ns() + 20000000000ull, NULL);

        if (packet != NULL) {
            stamp_ns = packet->received_ns;
            packet_free(packet);
        }
    }
    return stamp_ns;
}

static void frames_are_stamped_only_while_somebody_wants_it(struct test *test)
{
    struct net_station station;

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }
    for (unsigned round = 0; round < 3; round++) {
        struct udp_socket *plain = udp_socket_open(SOCKET_PORT, SOCKET_DEPTH, false);
        struct udp_socket *stamping = udp_socket_open(0, SOCKET_DEPTH, true);
        uint64_t before_ns = clock_now_ns();

        if (!EXPECT(test, plain != NULL && stamping != NULL)) {
            break;
        }
        EXPECT(test, static_key_is_enabled(&netstamp_needed));

        uint64_t stamp_ns = stamp_of_next(&station, plain);

        EXPECT(test, stamp_ns >= before_ns && stamp_ns <= clock_now_ns());
        udp_socket_close(stamping);
        EXPECT(test, !static_key_is_enabled(&netstamp_needed));
        EXPECT_EQUAL(test, stamp_of_next(&station, plain), 0);
        udp_socket_close(plain);
    }
    net_station_close(test, &station);
}

#define SLOW_PORT 7002

static struct {
    bool is_inside; /* atomic */
    bool may_leave; /* atomic */
} slow;

/* Stays inside until it is told to leave, or for a second. */
static void slow_handle(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    uint64_t end_ns = clock_now_ns() + 1000000000ull;

    __atomic_store_n(&slow.is_inside, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&slow.may_leave, __ATOMIC_ACQUIRE) && clock_now_ns() < end_ns) {
        thread_yield();
    }
    packet_free(datagram->packet);
    __atomic_store_n(&slow.is_inside, false, __ATOMIC_RELEASE);
}

static bool handler_is_inside(void *argument)
{
    (void)argument;
    return __atomic_load_n(&slow.is_inside, __ATOMIC_ACQUIRE);
}

static void let_it_leave_soon(void *argument)
{
    (void)argument;
    thread_sleep_ns(20000000);
    __atomic_store_n(&slow.may_leave, true, __ATOMIC_RELEASE);
}

/* The handler's argument may be freed once udp_unbind() returns: nobody may be in the handler then.
 * Here one is, and leaves 20 ms later. */
static void unbind_returns_behind_the_handler(struct test *test)
{
    static uint8_t frame[FRAME_BYTES_MAX];
    struct net_station station;

    if (!EXPECT(test, net_station_open(&station, 1, NULL))) {
        return;
    }
    slow.is_inside = slow.may_leave = false;
    EXPECT_EQUAL(test, udp_bind(SLOW_PORT, slow_handle, NULL), SLOW_PORT);
    EXPECT_EQUAL(test, udp_bind(SLOW_PORT, slow_handle, NULL), 0);
    EXPECT(test, fake_nic_inject_patiently(station.nic, 0, frame,
                                           net_station_frame(&station, frame, SLOW_PORT, 18, 1)));
    EXPECT(test, wait_patiently(handler_is_inside, NULL));

    struct thread *helper = thread_create("test leave", THREAD_ANY_CPU, let_it_leave_soon, NULL);

    udp_unbind(SLOW_PORT);
    EXPECT(test, !handler_is_inside(NULL));
    if (EXPECT(test, helper != NULL)) {
        thread_join(helper);
    }
    net_station_close(test, &station);
}

static const struct test_case cases[] = {
    TEST_CASE(every_frame_ends_in_one_counter),
    TEST_CASE(echo_returns_every_byte_of_every_size),
    TEST_CASE(arp_answers_for_its_own_address),
    TEST_CASE(arp_learns_only_what_it_asked),
    TEST_CASE(arp_gives_up_and_frees_what_waits),
    TEST_CASE(socket_keeps_its_depth_and_order),
    TEST_CASE(netstamp_has_four_sites),
    TEST_CASE(frames_are_stamped_only_while_somebody_wants_it),
    TEST_CASE(unbind_returns_behind_the_handler),
};

const struct test_suite suite_net_path = TEST_SUITE("net_path", cases);
