// SPDX-License-Identifier: MIT
/* Traffic on all CPUs while things change under it: keys and static calls on its path, resets,
 * links, programs. Invariant checked at the end of each case: every frame that came in is in one
 * count, every answer is right, every packet is back. */
#include "arch/clock.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/udp.h"
#include "net/udp_socket.h"
#include "net/wire.h"
#include "patching/static_call.h"
#include "patching/static_key.h"
#include "patching/transaction.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/net_frames.h"
#include "tests/kernel/net_station.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define TRAFFIC_NS    1500000000ull
#define REST_NS       100000ull
#define QUEUES        2u
#define PAYLOAD_LEAST 18u
#define HEAD_BYTES    8u /* of a payload: seed and length */

static struct traffic {
    struct net_station station;
    struct workers workers;
    uint16_t port;
    bool loses; /* frames may be lost: an injector does not wait for room */
    /* atomic: */
    uint32_t seed;
    uint64_t injected, wrong, answered;
    uint32_t gave_up;
} traffic;

/* The answer tells which payload it must have. Called by the card, for each frame it sends. */
static void answer_check(struct fake_nic *nic, unsigned queue, const uint8_t *frame,
                         uint32_t length)
{
    (void)nic;
    (void)queue;
    uint8_t payload[UDP_PAYLOAD_MAX];
    struct frame_udp answer;

    if (wire_get16(frame + 12) == 0x0806) {
        return; /* ARP: the announcement of our address */
    }

    bool is_right = frame_read_udp(frame, length, &answer) && answer.length >= PAYLOAD_LEAST;

    if (is_right) {
        uint32_t seed = wire_get32(answer.payload);

        bytes_fill(payload, answer.length - HEAD_BYTES, seed);
        is_right = wire_get32(answer.payload + 4) == answer.length &&
                   memcmp(answer.payload + HEAD_BYTES, payload, answer.length - HEAD_BYTES) == 0 &&
                   memcmp(answer.to, net_station_peer_mac, MAC_BYTES) == 0;
    }
    __atomic_fetch_add(is_right ? &traffic.answered : &traffic.wrong, 1, __ATOMIC_RELAXED);
}

/* A frame whose payload says what follows in it. All sizes come in turn. */
static uint32_t traffic_frame(uint8_t *frame, uint32_t seed)
{
    uint8_t payload[UDP_PAYLOAD_MAX];
    uint32_t length = PAYLOAD_LEAST + seed * 7 % (UDP_PAYLOAD_MAX - PAYLOAD_LEAST + 1);

    wire_put32(payload, seed);
    wire_put32(payload + 4, length);
    bytes_fill(payload + HEAD_BYTES, length - HEAD_BYTES, seed);
    return frame_make_udp(frame, &(struct frame_udp){.to = traffic.station.nic->device.mac,
                                                     .from = net_station_peer_mac,
                                                     .source = NET_STATION_PEER,
                                                     .destination = NET_STATION_ADDRESS,
                                                     .source_port = NET_STATION_PEER_PORT,
                                                     .destination_port = traffic.port,
                                                     .payload = payload,
                                                     .length = length});
}

/* On every CPU. */
static void traffic_inject(void *argument)
{
    (void)argument;
    uint8_t frame[FRAME_BYTES_MAX];

    while (!workers_should_stop(&traffic.workers)) {
        uint32_t seed = __atomic_fetch_add(&traffic.seed, 1, __ATOMIC_RELAXED);
        uint32_t length = traffic_frame(frame, seed);
        unsigned queue = seed % QUEUES;
        bool is_in = traffic.loses
                         ? fake_nic_inject(traffic.station.nic, queue, frame, length)
                         : fake_nic_inject_patiently(traffic.station.nic, queue, frame, length);

        if (is_in) {
            __atomic_fetch_add(&traffic.injected, 1, __ATOMIC_RELAXED);
        } else if (!traffic.loses) {
            __atomic_fetch_add(&traffic.gave_up, 1, __ATOMIC_RELAXED);
            return;
        }
        if (!is_in) {
            /* The others need the locks: CPUs that wait for one, on a host with fewer cores, pass
             * it on once in a time slice. */
            thread_sleep_ns(REST_NS);
        }
    }
}

/* @program: NULL for none. */
static bool traffic_start(struct test *test, uint16_t port, bool loses,
                          dispatched_function *program)
{
    traffic = (struct traffic){.port = port, .loses = loses};
    if (!EXPECT(test, net_station_open(&traffic.station, QUEUES, answer_check))) {
        return false;
    }
    fake_nic_set_program(test, traffic.station.nic, program);
    if (!EXPECT(test, workers_start(&traffic.workers, true, traffic_inject, NULL))) {
        net_station_close(test, &traffic.station);
        return false;
    }
    return true;
}

/* Ends the injectors and waits until the last frame is done with. */
static void traffic_stop(struct test *test)
{
    workers_join(&traffic.workers);
    EXPECT_EQUAL(test, traffic.gave_up, 0);
    EXPECT(test, fake_nic_settle(traffic.station.nic));
    EXPECT_EQUAL(test, traffic.wrong, 0);
    EXPECT_EQUAL(test, fake_nic_injected(traffic.station.nic), traffic.injected);
}

/* ---- patching under traffic ---- */

static __attribute__((noinline)) uint32_t add_one(uint32_t value)
{
    return value + 1;
}

static __attribute__((noinline)) uint32_t add_one_differently(uint32_t value)
{
    return value - UINT32_MAX;
}

DEFINE_STATIC_CALL(test_net_program, add_one);

static uint64_t program_sum[QUEUES]; /* each by its poll thread */

/* A static call on the path of each frame, whose two targets say the same. */
static unsigned program_through_a_static_call(const void *context, const void *instructions)
{
    (void)instructions;
    const struct packet *packet = context;
    program_sum[packet->queue] += static_call(test_net_program)(0);
    return NET_ACTION_PASS;
}

static enum patch_status flip_all(bool on)
{
    struct patch_error error;
    struct patch_change changes[] = {
        static_key_change_to(&netstamp_needed, on),
        static_key_change_to(static_key_find("sched_stats"), on),
        static_call_change_to(static_call_find("test_net_program"),
                              (static_call_function *)(on ? add_one_differently : add_one)),
    };

    return patch_transaction("test traffic", changes, sizeof(changes) / sizeof(changes[0]), &error);
}

/* All CPUs send frames of all sizes to the echo service while its path is patched: the key of time
 * stamps, that of the scheduler, which runs between any two frames, and a static call that each
 * frame goes through. A torn instruction or a lost wake-up ends in a trap, a wrong byte, a missing
 * answer or a wrong sum. Could miss a window too narrow for the frames of this second and a half.
 */
static void echo_survives_flipping_keys_and_calls(struct test *test)
{
    uint64_t full = net_counter_read(NET_DROP_TRANSMIT_FULL);
    uint32_t flips = 0;

    program_sum[0] = program_sum[1] = 0;
    if (!traffic_start(test, UDP_PORT_ECHO, false, program_through_a_static_call)) {
        return;
    }

    uint64_t end_ns = clock_now_ns() + TRAFFIC_NS;

    while (clock_now_ns() < end_ns && !test_should_stop(test)) {
        EXPECT_EQUAL(test, flip_all(true), PATCH_OK);
        thread_sleep_ns(1000000);
        EXPECT_EQUAL(test, flip_all(false), PATCH_OK);
        thread_sleep_ns(1000000);
        flips += 2;
    }
    traffic_stop(test);

    uint64_t received = fake_nic_received(traffic.station.nic);

    EXPECT(test, flips > 0);
    EXPECT_EQUAL(test, received, traffic.injected);
    EXPECT_EQUAL(test, traffic.answered + net_counter_read(NET_DROP_TRANSMIT_FULL) - full,
                 received);
    EXPECT_EQUAL(test, program_sum[0] + program_sum[1], received);
    net_station_close(test, &traffic.station);
}

/* ---- trouble under traffic ---- */

static uint64_t unsent_count(void)
{
    return net_counter_read(NET_DROP_TRANSMIT_FULL) + net_counter_read(NET_DROP_LINK_DOWN) +
           net_counter_read(NET_DROP_DEVICE_STOPPED);
}

/* Frames come, are answered and lie in all rings when the card is reset. What a reset loses is
 * counted by the card; nothing is polled nor sent meanwhile (the card would note it), and no packet
 * is lost or free twice. */
static void resets_lose_frames_but_no_packet(struct test *test)
{
    uint64_t unsent = unsent_count();
    struct fake_nic *nic;
    unsigned resets = 0;

    if (!traffic_start(test, UDP_PORT_ECHO, true, NULL)) {
        return;
    }
    nic = traffic.station.nic;

    uint64_t end_ns = clock_now_ns() + TRAFFIC_NS;

    while (clock_now_ns() < end_ns && !test_should_stop(test)) {
        EXPECT(test, net_device_reset(&nic->device));
        thread_sleep_ns(5000000);
        resets++;
    }
    traffic_stop(test);
    EXPECT(test, resets > 0);
    EXPECT_EQUAL(test, nic->device.resets, resets);
    EXPECT_EQUAL(test, fake_nic_received(nic) + fake_nic_lost_in_reset(nic), traffic.injected);
    EXPECT_EQUAL(test, traffic.answered + unsent_count() - unsent + fake_nic_unsent_in_reset(nic),
                 fake_nic_received(nic));
    net_station_close(test, &traffic.station);
}

/* While the link is down frames still come from the ring, and their answers are dropped by that
 * reason, each once. */
static void link_flips_drop_answers_by_reason(struct test *test)
{
    uint64_t unsent = unsent_count();
    uint64_t down = net_counter_read(NET_DROP_LINK_DOWN);

    if (!traffic_start(test, UDP_PORT_ECHO, false, NULL)) {
        return;
    }
    for (unsigned i = 0; i < 4 && !test_should_stop(test); i++) {
        thread_sleep_ns(50000000);
        net_device_set_link(&traffic.station.nic->device, i % 2 != 0);
    }
    traffic_stop(test);
    EXPECT_EQUAL(test, fake_nic_received(traffic.station.nic), traffic.injected);
    EXPECT_EQUAL(test, traffic.answered + unsent_count() - unsent, traffic.injected);
    EXPECT(test, net_counter_read(NET_DROP_LINK_DOWN) > down);
    net_station_close(test, &traffic.station);
}

#define READER_PORT  7003
#define READER_DEPTH 32u

struct reading {
    struct udp_socket *socket;
    uint64_t read, wrong;
};

/* Takes what comes within 10 ms. Returns false if nothing did. */
static bool reading_take(struct reading *reading)
{
    struct packet *packets[16];
    unsigned got = udp_socket_receive_many(reading->socket, clock_now_ns() + 10000000, packets, 16);

    for (unsigned i = 0; i < got; i++) {
        reading->wrong += packets[i]->length < PAYLOAD_LEAST ||
                          wire_get32(packets[i]->data + 4) != packets[i]->length;
    }
    packet_free_many(packets, got);
    reading->read += got;
    return got != 0;
}

/* Two poll threads fill a socket that one thread reads: each datagram is read, with its own length,
 * or counted as dropped. */
static void socket_reads_or_counts_every_datagram(struct test *test)
{
    struct reading reading = {.socket = udp_socket_open(READER_PORT, READER_DEPTH, false)};

    if (!EXPECT(test, reading.socket != NULL)) {
        return;
    }
    if (traffic_start(test, READER_PORT, false, NULL)) {
        uint64_t end_ns = clock_now_ns() + TRAFFIC_NS;

        while (clock_now_ns() < end_ns && !test_should_stop(test)) {
            reading_take(&reading);
        }
        workers_join(&traffic.workers);
        EXPECT(test, fake_nic_idle(traffic.station.nic));
        while (reading_take(&reading)) {
        }
        EXPECT_EQUAL(test, traffic.gave_up, 0);
        EXPECT_EQUAL(test, reading.wrong, 0);
        EXPECT(test, reading.read > 0);
        EXPECT_EQUAL(test, reading.read + udp_socket_dropped(reading.socket), traffic.injected);
        EXPECT_EQUAL(test, fake_nic_received(traffic.station.nic), traffic.injected);
        net_station_close(test, &traffic.station);
    }
    udp_socket_close(reading.socket);
}

static const struct test_case cases[] = {
    TEST_CASE(echo_survives_flipping_keys_and_calls),
    TEST_CASE(resets_lose_frames_but_no_packet),
    TEST_CASE(link_flips_drop_answers_by_reason),
    TEST_CASE(socket_reads_or_counts_every_datagram),
};

const struct test_suite suite_net_traffic = TEST_SUITE("net_traffic", cases);
