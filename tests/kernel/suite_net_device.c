// SPDX-License-Identifier: MIT
/* Devices, poll threads, programs: on a card in memory (fake_nic.h), so that every interrupt and
 * every full ring comes exactly when a case wants it. All figures are exact. */
#include "arch/clock.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/net_frames.h"
#include "tests/kernel/test.h"

/* ---- programs ---- */

static struct order_log {
    uint32_t seen;         /* frames */
    uint32_t out_of_order; /* word not that of the frame before plus one */
    uint32_t last;
} order_log;

static unsigned program_checks_order(const void *context, const void *instructions)
{
    (void)instructions;
    uint32_t word = frame_word(((const struct packet *)context)->data);

    order_log.out_of_order += word != order_log.last + 1;
    order_log.last = word;
    order_log.seen++;
    return NET_ACTION_DROP;
}

static void frames_reach_the_program_in_order(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    uint64_t dropped = net_counter_read(NET_DROP_PROGRAM);
    const uint32_t frames = 3 * FAKE_RING + 1;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    order_log = (struct order_log){0};
    fake_nic_set_program(test, nic, program_checks_order);
    for (uint32_t i = 1; i <= frames; i++) {
        EXPECT(test, fake_nic_inject_word(nic, 0, i));
    }
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, order_log.seen, frames);
    EXPECT_EQUAL(test, order_log.out_of_order, 0);
    EXPECT_EQUAL(test, fake_nic_received(nic), frames);
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_PROGRAM) - dropped, frames);
    fake_nic_remove(test, nic);
}

static unsigned program_obeys_the_frame(const void *context, const void *instructions)
{
    (void)instructions;
    return frame_word(((const struct packet *)context)->data);
}

/* The frame says what the program returns. Every action ends in the counter of that action alone.
 */
static void program_actions_are_obeyed(struct test *test)
{
    static const struct {
        uint32_t action;
        enum net_counter counter;
    } rows[] = {
        {NET_ACTION_ABORT, NET_DROP_PROGRAM_ABORT}, {NET_ACTION_DROP, NET_DROP_PROGRAM},
        {NET_ACTION_PASS, NET_DROP_ETHERTYPE},      {NET_ACTION_TX, NET_PROGRAM_TX},
        {NET_ACTION_COUNT, NET_DROP_PROGRAM_ABORT}, {UINT32_MAX, NET_DROP_PROGRAM_ABORT},
    };
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    uint8_t frame[FRAME_BYTES_MIN];

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    fake_nic_set_program(test, nic, program_obeys_the_frame);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t before = net_counter_read(rows[i].counter);
        uint64_t captured = fake_nic_captured(nic);

        EXPECT(test, fake_nic_inject_word(nic, 0, rows[i].action));
        EXPECT(test, fake_nic_settle(nic));
        EXPECT_EQUAL(test, net_counter_read(rows[i].counter) - before, 1);
        EXPECT_EQUAL(test, fake_nic_captured(nic) - captured, rows[i].action == NET_ACTION_TX);
    }
    frame_make(frame, NET_ACTION_TX);
    EXPECT_EQUAL(test, nic->last_length, sizeof(frame));
    EXPECT(test, memcmp(nic->last_frame, frame, sizeof(frame)) == 0);
    fake_nic_remove(test, nic);
}

/* ---- poll threads ---- */

#define CHAIN_FRAMES 1000u

static struct fake_nic *chain_nic;

/* Each frame brings the next, so that the ring is never empty before the last one. */
static unsigned program_brings_the_next(const void *context, const void *instructions)
{
    (void)instructions;
    uint32_t word = frame_word(((const struct packet *)context)->data);
    uint8_t frame[FRAME_BYTES_MIN];

    if (word < CHAIN_FRAMES) {
        frame_make(frame, word + 1);
        fake_nic_inject(chain_nic, 0, frame, sizeof(frame));
    }
    return NET_ACTION_DROP;
}

/* A thousand frames that come while the thread polls cost the one interrupt that woke it. A kernel
 * that leaves the interrupt on would count a thousand. */
static void polling_masks_interrupts(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    chain_nic = nic;
    EXPECT(test, fake_nic_settle(nic)); /* behind the first poll, which turns interrupts on */
    fake_nic_set_program(test, nic, program_brings_the_next);

    struct net_queue_counters before = nic->device.queues[0].counters;

    EXPECT(test, fake_nic_inject_word(nic, 0, 1));
    EXPECT(test, fake_nic_settle(nic));

    struct net_queue_counters after = nic->device.queues[0].counters;

    EXPECT_EQUAL(test, after.received - before.received, CHAIN_FRAMES);
    EXPECT_EQUAL(test, after.interrupts - before.interrupts, 1);
    EXPECT_EQUAL(test, after.polls_whole - before.polls_whole, CHAIN_FRAMES / NET_POLL_BUDGET);
    EXPECT_EQUAL(test, after.polls - before.polls, CHAIN_FRAMES / NET_POLL_BUDGET + 1);
    fake_nic_remove(test, nic);
}

static uint32_t late_frames; /* still to come; by the poll thread alone */

static void inject_late_frame(struct fake_nic *nic, unsigned queue)
{
    uint8_t frame[FRAME_BYTES_MIN];

    if (late_frames != 0) {
        late_frames--;
        frame_make(frame, late_frames);
        fake_nic_inject(nic, queue, frame, sizeof(frame));
    }
}

/* Each time the thread has found the ring empty, a frame comes before interrupts are on: nobody is
 * told of it. A thread that did not look again would leave it there; all twenty would need twenty
 * other frames to be found. */
static void frame_before_interrupts_are_on_is_not_stuck(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(
        &(struct fake_nic_options){.queues = 1, .before_interrupt_on = inject_late_frame});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic));
    __atomic_store_n(&late_frames, 20, __ATOMIC_RELEASE);
    EXPECT(test, fake_nic_inject_word(nic, 0, 1));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, fake_nic_received(nic), 21);
    EXPECT_EQUAL(test, fake_nic_interrupts(nic), 1);
    fake_nic_remove(test, nic);
}

/* The same, but interrupts are on and the ring was found empty: each frame interrupts a thread that
 * is about to sleep. A thread that forgot it then would sleep on, with the interrupt off for good.
 */
static void interrupt_before_sleep_is_not_lost(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(
        &(struct fake_nic_options){.queues = 1, .behind_interrupt_on = inject_late_frame});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic));
    __atomic_store_n(&late_frames, 20, __ATOMIC_RELEASE);
    EXPECT(test, fake_nic_inject_word(nic, 0, 1));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, fake_nic_received(nic), 21);
    EXPECT_EQUAL(test, fake_nic_interrupts(nic), 21);
    fake_nic_remove(test, nic);
}

/* ---- devices in trouble ---- */

static bool has_dropped_ten(void *argument)
{
    const struct fake_nic *nic = argument;

    return __atomic_load_n(&nic->device.queues[0].counters.no_buffer, __ATOMIC_RELAXED) == 10;
}

/* Somebody has all packets: frames that come are dropped, counted, and their buffers used again. */
static void exhausted_pool_costs_frames_alone(struct test *test)
{
    static struct packet *taken[FAKE_PACKETS];
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    unsigned count;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic));
    count = packet_allocate_many(nic->device.pool, taken, FAKE_PACKETS);
    EXPECT_EQUAL(test, count, FAKE_PACKETS - FAKE_RING);
    for (uint32_t i = 0; i < 10; i++) {
        EXPECT(test, fake_nic_inject_word(nic, 0, i));
    }
    EXPECT(test, wait_patiently(has_dropped_ten, nic));
    EXPECT_EQUAL(test, nic->device.queues[0].counters.no_buffer, 10);
    EXPECT_EQUAL(test, fake_nic_received(nic), 0);
    EXPECT_EQUAL(test, net_device_census(&nic->device).receive_rings, FAKE_RING);
    packet_free_many(taken, count);
    EXPECT(test, fake_nic_inject_word(nic, 0, 11));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, fake_nic_received(nic), 1);
    fake_nic_remove(test, nic);
}

static void reset_frees_what_the_rings_hold(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 2});
    const unsigned held = 20;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    nic->holds_transmit = true;
    for (uint32_t i = 0; i < held; i++) {
        EXPECT(test, net_device_transmit(&nic->device, i % 2, fake_nic_packet(nic, i)));
    }
    EXPECT_EQUAL(test, net_device_census(&nic->device).transmit_rings, held);
    EXPECT(test, net_device_reset(&nic->device));
    EXPECT_EQUAL(test, nic->device.resets, 1);
    EXPECT_EQUAL(test, net_device_census(&nic->device).transmit_rings, 0);
    EXPECT_EQUAL(test, net_device_census(&nic->device).receive_rings, 2 * FAKE_RING);
    EXPECT_EQUAL(test, fake_nic_captured(nic), 0);
    EXPECT(test, fake_nic_settle(nic));
    nic->holds_transmit = false;
    EXPECT(test, fake_nic_inject_word(nic, 1, 1));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, fake_nic_received(nic), 1);
    fake_nic_remove(test, nic);
}

#define HELD_NS 300000000ull
static bool is_handler_held; /* atomic */
/* Stays in the driver for HELD_NS. A reset that begins meanwhile is the violation. */
static void hold_handler(struct fake_nic *nic, unsigned queue)
{
    uint64_t end_ns = clock_now_ns() + HELD_NS;

    (void)queue;
    __atomic_store_n(&is_handler_held, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&nic->is_resetting, __ATOMIC_SEQ_CST) && clock_now_ns() < end_ns) {
        cpu_relax();
    }
    __atomic_fetch_add(&nic->violations, nic->is_resetting, __ATOMIC_RELAXED);
}

static void inject_one(void *argument)
{
    fake_nic_inject_word(argument, 0, 1);
}

static bool has_handler(void *argument)
{
    (void)argument;
    return __atomic_load_n(&is_handler_held, __ATOMIC_ACQUIRE);
}

/* A handler is in the driver on another CPU when the device is to be reset: reset() must not begin
 * before it is out, or the card counts a violation. Missed if the host does not run this CPU for as
 * long as the handler is held. */
static void reset_waits_for_interrupt_handlers(struct test *test)
{
    struct fake_nic *nic;
    struct thread *interrupted;

    if (cpu_count() < 2) {
        test_skip(test, "needs a second CPU");
        return;
    }
    nic = fake_nic_add(&(struct fake_nic_options){.queues = 1, .in_interrupt_off = hold_handler});
    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic)); /* the interrupt is on */
    is_handler_held = false;
    interrupted = thread_create("interrupted", (cpu_index() + 1) % cpu_count(), inject_one, nic);
    if (EXPECT(test, interrupted != NULL)) {
        EXPECT(test, wait_patiently(has_handler, NULL));
        EXPECT(test, net_device_reset(&nic->device));
        thread_join(interrupted);
        EXPECT_EQUAL(test, nic->violations, 0);
    }
    fake_nic_remove(test, nic);
}

static void inject_in_reset(struct fake_nic *nic)
{
    uint8_t frame[FRAME_BYTES_MIN];

    frame_make(frame, 1);
    fake_nic_inject(nic, 0, frame, sizeof(frame)); /* interrupts */
}

/* An interrupt that comes while the driver takes the rings apart must not reach the driver (the
 * card would count a violation), and the queue is looked at once the device is back. */
static void interrupt_in_a_reset_leaves_the_device_alone(struct test *test)
{
    struct fake_nic *nic =
        fake_nic_add(&(struct fake_nic_options){.queues = 1, .in_reset = inject_in_reset});
    uint64_t polls;

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic));
    polls = nic->device.queues[0].counters.polls;
    EXPECT(test, net_device_reset(&nic->device));
    EXPECT_EQUAL(test, nic->violations, 0);
    EXPECT_EQUAL(test, fake_nic_lost_in_reset(nic), 1);
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, nic->device.queues[0].counters.polls, polls + 1);
    fake_nic_remove(test, nic);
}

/* It spoke nonsense, and does not come back from the first reset; from the second it does. */
static void dead_device_is_left_alone_until_reset(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    uint64_t stopped = net_counter_read(NET_DROP_DEVICE_STOPPED);
    uint8_t frame[FRAME_BYTES_MIN];

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    EXPECT(test, fake_nic_settle(nic));
    net_device_fail(&nic->device, "it is a test and says nonsense");
    frame_make(frame, 1);
    EXPECT(test, fake_nic_inject(nic, 0, frame, sizeof(frame)));
    EXPECT(test, !net_device_transmit(&nic->device, 0, fake_nic_packet(nic, 2)));
    EXPECT_EQUAL(test, net_counter_read(NET_DROP_DEVICE_STOPPED) - stopped, 1);
    nic->refuses_reset = true;
    EXPECT(test, !net_device_reset(&nic->device));
    EXPECT(test, nic->device.is_dead);
    EXPECT(test, !net_device_transmit(&nic->device, 0, fake_nic_packet(nic, 3)));
    EXPECT_EQUAL(test, fake_nic_received(nic), 0);
    nic->refuses_reset = false;
    EXPECT(test, net_device_reset(&nic->device));
    EXPECT(test, !nic->device.is_dead);
    EXPECT(test, net_device_transmit(&nic->device, 0, fake_nic_packet(nic, 4)));
    EXPECT(test, fake_nic_inject_word(nic, 0, 5));
    EXPECT(test, fake_nic_settle(nic));
    EXPECT_EQUAL(test, fake_nic_received(nic), 1);
    EXPECT_EQUAL(test, fake_nic_lost_in_reset(nic), 1);
    fake_nic_remove(test, nic);
}

static void two_devices_do_not_mix(struct test *test)
{
    unsigned present = net_device_count();
    struct fake_nic *first = fake_nic_add(&(struct fake_nic_options){.queues = 1});
    struct fake_nic *second = fake_nic_add(&(struct fake_nic_options){.queues = 2});

    if (!EXPECT(test, first != NULL && second != NULL)) {
        return;
    }
    EXPECT_EQUAL(test, net_device_count(), present + 2);
    EXPECT(test, net_device_find(first->device.name) == &first->device);
    EXPECT(test, net_device_find(second->device.name) == &second->device);
    EXPECT(test, strcmp(first->device.name, second->device.name) != 0);
    fake_nic_set_program(test, second, program_obeys_the_frame);
    for (uint32_t i = 0; i < 30; i++) {
        EXPECT(test, fake_nic_inject_word(first, 0, NET_ACTION_TX));
        EXPECT(test, fake_nic_inject_word(second, i % 2, NET_ACTION_TX));
    }
    EXPECT(test, fake_nic_settle(first) && fake_nic_settle(second));
    EXPECT_EQUAL(test, fake_nic_received(first), 30);
    EXPECT_EQUAL(test, fake_nic_captured(first), 0);
    EXPECT_EQUAL(test, second->device.queues[0].counters.received, 15);
    EXPECT_EQUAL(test, second->queues[0].captured, 15);
    EXPECT_EQUAL(test, second->queues[1].captured, 15);
    fake_nic_remove(test, second);
    fake_nic_remove(test, first);
    EXPECT_EQUAL(test, net_device_count(), present);
}

static const struct test_case cases[] = {
    TEST_CASE(frames_reach_the_program_in_order),
    TEST_CASE(program_actions_are_obeyed),
    TEST_CASE(polling_masks_interrupts),
    TEST_CASE(frame_before_interrupts_are_on_is_not_stuck),
    TEST_CASE(interrupt_before_sleep_is_not_lost),
    TEST_CASE(exhausted_pool_costs_frames_alone),
    TEST_CASE(reset_frees_what_the_rings_hold),
    TEST_CASE(reset_waits_for_interrupt_handlers),
    TEST_CASE(interrupt_in_a_reset_leaves_the_device_alone),
    TEST_CASE(dead_device_is_left_alone_until_reset),
    TEST_CASE(two_devices_do_not_mix),
};

const struct test_suite suite_net_device = TEST_SUITE("net_device", cases);
