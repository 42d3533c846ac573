// SPDX-License-Identifier: MIT
/* Sending: what becomes of frames that cannot be sent, and of many senders at once; on a card in
 * memory (fake_nic.h). All figures are exact. */
#include "arch/clock.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "net/counters.h"
#include "net/net_device.h"
#include "net/packet.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

static void short_frame_is_padded_with_zeros(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }

    struct packet *packet = packet_allocate(nic->device.pool);

    memset(packet->data, 0xee, FRAME_BYTES_MIN); /* what the buffer held before */
    memset(packet_append(packet, 20), 0x11, 20);
    EXPECT(test, net_device_transmit(&nic->device, 0, packet));
    EXPECT_EQUAL(test, nic->last_length, FRAME_BYTES_MIN);
    for (unsigned i = 0; i < FRAME_BYTES_MIN; i++) {
        EXPECT_EQUAL(test, nic->last_frame[i], i < 20 ? 0x11 : 0);
    }
    fake_nic_remove(test, nic);
}

/* What cannot be sent is counted by reason, and its packet is free again. */
static void link_down_and_oversize_drop_by_reason(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }

    uint64_t down = net_counter_read(NET_DROP_LINK_DOWN);
    uint64_t too_long = net_counter_read(NET_DROP_FRAME_LONG);

    EXPECT(test, fake_nic_settle(nic)); /* behind the first poll, which holds a packet */

    uint32_t free = packet_pool_count(nic->device.pool).free;
    struct packet *packet = fake_nic_packet(nic, 1);

    net_device_set_link(&nic->device, false);
    EXPECT(test, !net_device_transmit(&nic->device, 0, packet));
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_LINK_DOWN) - down, 1);
    packet = fake_nic_packet(nic, 2);
    EXPECT_EQUAL(test, net_device_transmit_many(&nic->device, 0, &packet, 1), 0);
    packet_free(packet); /* transmit_many leaves it */
    net_device_set_link(&nic->device, true);
    EXPECT_EQUAL(test, nic->device.link_changes, 2);
    packet = fake_nic_packet(nic, 3);
    packet_append(packet, FRAME_BYTES_MAX + 1 - FRAME_BYTES_MIN);
    EXPECT(test, !net_device_transmit(&nic->device, 0, packet));
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_FRAME_LONG) - too_long, 1);
    packet = fake_nic_packet(nic, 4);
    EXPECT(test, net_device_transmit(&nic->device, 0, packet));
    EXPECT_EQUAL(test, fake_nic_captured(nic), 1);
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, net_device_census(&nic->device).free, free);
    fake_nic_remove(test, nic);
}

/* The card does not hear the doorbell: FAKE_RING frames fit, the others are dropped, or left to the
 * caller who asked for that. Then the card goes on, and all packets come back. */
static void full_transmit_ring_drops_by_reason(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    uint64_t full = net_counter_read(NET_DROP_TRANSMIT_FULL);
    struct packet *packets[8];
    unsigned sent = 0;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    nic->holds_transmit = true;
    for (unsigned i = 0; i < FAKE_RING + 5; i++) {
        sent += net_device_transmit(&nic->device, 0, fake_nic_packet(nic, i));
    }
    EXPECT_EQUAL(test, sent, FAKE_RING);
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_TRANSMIT_FULL) - full, 5);
    EXPECT_EQUAL(test, nic->device.queues[0].counters.transmit_full, 5);
    EXPECT_EQUAL(test, net_device_census(&nic->device).transmit_rings, FAKE_RING);
    for (unsigned i = 0; i < 8; i++) {
        packets[i] = fake_nic_packet(nic, 100 + i);
    }
    EXPECT_EQUAL(test, net_device_transmit_many(&nic->device, 0, packets, 8), 0);
    EXPECT_EQUAL(test, fake_nic_captured(nic), 0);
    fake_nic_release(nic);
    EXPECT_EQUAL(test, fake_nic_captured(nic), FAKE_RING);
    EXPECT_EQUAL(test, net_device_transmit_many(&nic->device, 0, packets, 8), 8);
    EXPECT_EQUAL(test, fake_nic_captured(nic), FAKE_RING + 8);
    EXPECT_EQUAL(test, nic->device.queues[0].counters.transmitted, FAKE_RING + 8);
    fake_nic_remove(test, nic);
}

/* All CPUs send on one queue. The card notes when two are in its functions at once, in which it
 * stays long enough for that; each frame is sent or counted as dropped, none twice. Could miss a
 * lock that is held almost long enough. */
#define SENDERS_PAUSES 200u
#define SENDERS_FRAMES 3000u
#define SENDERS_NS     300000000ull /* and not longer, however slow the host */

static struct {
    struct fake_nic *nic;
    uint64_t end_ns;
    uint32_t sent, no_packet, tried;
} senders;

static void send_many(void *argument)
{
    (void)argument;
    for (uint32_t i = 0; i < SENDERS_FRAMES && clock_now_ns() < senders.end_ns; i++) {
        struct packet *packet = fake_nic_packet(senders.nic, i);

        __atomic_fetch_add(&senders.tried, 1, __ATOMIC_RELAXED);
        if (packet == NULL) {
            __atomic_fetch_add(&senders.no_packet, 1, __ATOMIC_RELAXED);
        } else if (net_device_transmit(&senders.nic->device, 0, packet)) {
            __atomic_fetch_add(&senders.sent, 1, __ATOMIC_RELAXED);
        }
    }
}

static void senders_take_turns(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    uint64_t full = net_counter_read(NET_DROP_TRANSMIT_FULL);
    struct workers workers;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    senders.nic = nic;
    nic->transmit_pauses = SENDERS_PAUSES;
    senders.sent = senders.no_packet = senders.tried = 0;
    senders.end_ns = clock_now_ns() + SENDERS_NS;
    if (EXPECT(test, workers_start(&workers, true, send_many, NULL))) {
        workers_join(&workers);
    }
    EXPECT_EQUAL(test, nic->violations, 0);
    EXPECT_EQUAL(test, fake_nic_captured(nic), senders.sent);
    EXPECT_EQUAL(test, nic->device.queues[0].counters.transmitted, senders.sent);
    EXPECT_EQUAL(test,
                 senders.sent + senders.no_packet + net_counter_read(NET_DROP_TRANSMIT_FULL) - full,
                 senders.tried);
    fake_nic_remove(test, nic);
}

/* Each queue's thread asks on which queue it would send, and must be told its own: only then does
 * the doorbell wait for the end of the poll. There are as many queues as CPUs, if the card has that
 * many: each CPU gets one. */
static uint32_t answers_elsewhere; /* by poll threads */

static unsigned program_asks_where_to_answer(const void *context, const void *instructions)
{
    (void)instructions;
    const struct packet *packet = context;
    if (net_device_transmit_queue(packet->device) != packet->queue) {
        __atomic_fetch_add(&answers_elsewhere, 1, __ATOMIC_RELAXED);
    }
    return NET_ACTION_DROP;
}

static void poll_threads_answer_on_their_own_queue(struct test *test)
{
    unsigned queues = cpu_count() < FAKE_QUEUES_MAX ? cpu_count() : FAKE_QUEUES_MAX;
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = queues});
    bool is_taken[CPU_MAX] = {false};

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    answers_elsewhere = 0;
    fake_nic_set_program(test, nic, program_asks_where_to_answer);
    for (unsigned i = 0; i < queues; i++) {
        EXPECT(test, !is_taken[nic->device.queues[i].cpu]);
        is_taken[nic->device.queues[i].cpu] = true;
        EXPECT(test, fake_nic_inject_word(nic, i, i));
    }
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, fake_nic_received(nic), queues);
    EXPECT_EQUAL(test, answers_elsewhere, 0);
    fake_nic_remove(test, nic);
}

static struct net_packet_census census_in_reset;

static void take_census(struct fake_nic *nic)
{
    census_in_reset = net_device_census(&nic->device);
}

/* Who counts the packets must not reclaim what a reset takes apart (the card would count a
 * violation), nor touch a dead device's rings; nothing is missing from the count for that. */
static void packets_are_counted_without_touching_a_stopped_device(struct test *test)
{
    struct fake_nic *nic =
        fake_nic_add(&(struct fake_nic_options){.queues = 1, .in_reset = take_census});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic));
    nic->holds_transmit = true;
    EXPECT(test, net_device_transmit(&nic->device, 0, fake_nic_packet(nic, 1)));
    net_device_fail(&nic->device, "it is a test and sends nothing");
    fake_nic_release(nic); /* the frame could be reclaimed now */
    EXPECT_EQUAL(test, net_device_census(&nic->device).transmit_rings, 1);
    EXPECT_EQUAL(test, net_device_census(&nic->device).elsewhere, 0);
    EXPECT(test, net_device_reset(&nic->device));
    EXPECT_EQUAL(test, nic->violations, 0);
    EXPECT_EQUAL(test, census_in_reset.transmit_rings, 1);
    EXPECT_EQUAL(test, census_in_reset.elsewhere, 0);
    fake_nic_remove(test, nic);
}

static const struct test_case cases[] = {
    TEST_CASE(short_frame_is_padded_with_zeros),
    TEST_CASE(link_down_and_oversize_drop_by_reason),
    TEST_CASE(full_transmit_ring_drops_by_reason),
    TEST_CASE(senders_take_turns),
    TEST_CASE(poll_threads_answer_on_their_own_queue),
    TEST_CASE(packets_are_counted_without_touching_a_stopped_device),
};

const struct test_suite suite_net_transmit = TEST_SUITE("net_transmit", cases);
