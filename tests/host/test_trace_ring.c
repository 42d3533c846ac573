// SPDX-License-Identifier: MIT
/* The recorder of calls; what leads to it is tested in test_trace_entry.c. Interrupts are played by
 * single steps: one comes behind each instruction in turn, so every point at which a recorder can
 * be interrupted is met. Detects an event lost or mixed, a count that is wrong, a ring that would
 * be freed under a recorder. Could miss a reader on another CPU that sees stores in another order
 * than they were made: x86 has none. */
#include "patching/trace_ring.h"

#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"
#include "tests/host/single_step.h"

#include <string.h>

enum { RING = 8 };

static struct trace_event memory[RING];

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    trace_ring_set(0, memory, RING);
    trace_recording_set(true);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    trace_recording_set(false);
    trace_ring_set(0, NULL, 0);
    return 0;
}

/* Function n returns to 1000 + n. The recorder gets the address behind the 5 bytes of its entry. */
static void add(uint64_t function)
{
    trace_ring_add(function + 5, 1000 + function);
}

static bool is_whole(const struct trace_event *event)
{
    return event->caller == 1000 + event->function && event->ticks != 0;
}

static void expect_event(uint64_t sequence, uint64_t function)
{
    struct trace_event event;

    assert_true(trace_ring_get(0, sequence, &event));
    assert_int_equal(event.sequence, sequence);
    assert_int_equal(event.function, function);
    assert_true(is_whole(&event));
}

static void ring_keeps_the_newest_and_counts_the_others(void **state)
{
    (void)state;
    struct trace_event event;

    for (uint64_t i = 1; i <= 20; i++) {
        add(i);
        assert_int_equal(trace_ring_newest(0), i);
        assert_int_equal(trace_ring_overwritten(0), i > RING ? i - RING : 0);
    }
    assert_false(trace_ring_get(0, 20 - RING, &event));
    assert_false(trace_ring_get(0, 21, &event));
    assert_false(trace_ring_get(0, 21 + RING, &event));
    assert_false(trace_ring_get(0, 0, &event));
    for (uint64_t i = 20 - RING + 1; i <= 20; i++) {
        expect_event(i, i);
    }
    assert_int_equal(trace_ring_size(0), RING);
}

static void exchanged_rings_keep_what_they_hold(void **state)
{
    (void)state;
    struct trace_event others[2 * RING];
    struct trace_ring_contents ring = {others, 2 * RING, 0};

    memset(others, 0, sizeof(others));
    for (uint64_t i = 1; i <= RING + 3; i++) {
        add(i);
    }
    trace_ring_exchange(0, &ring);
    assert_ptr_equal(ring.events, memory);
    assert_int_equal(ring.count, RING);
    assert_int_equal(trace_ring_newest(0), 0);
    assert_int_equal(trace_ring_size(0), 2 * RING);
    add(100);
    expect_event(1, 100);
    trace_ring_exchange(0, &ring);
    assert_ptr_equal(ring.events, others);
    assert_int_equal(ring.newest, 1);
    assert_int_equal(trace_ring_overwritten(0), 3);
    for (uint64_t i = 4; i <= RING + 3; i++) {
        expect_event(i, i);
    }
    add(12);
    expect_event(RING + 4, 12);
}

static void nothing_is_recorded_while_it_is_off_or_without_a_ring(void **state)
{
    (void)state;
    struct trace_event event;

    trace_recording_set(false);
    assert_false(trace_is_recording());
    add(1);
    assert_int_equal(trace_ring_newest(0), 0);
    trace_recording_set(true);
    trace_ring_set(0, NULL, 0);
    add(2);
    assert_int_equal(trace_ring_newest(0), 0);
    assert_int_equal(trace_ring_size(0), 0);
    assert_false(trace_ring_get(0, 1, &event));
    trace_ring_set(0, memory, RING);
    assert_false(trace_ring_get(0, 1, &event)); /* what lay in the memory is gone */
    add(3);
    expect_event(1, 3);
}

/* What interrupts the recorder, and behind which of its instructions. */
static unsigned interrupt_at_step;
static unsigned interrupt_events;
static bool interrupt_came;

static void interrupt(void)
{
    if (single_step_count() == interrupt_at_step) {
        interrupt_came = true;
        for (unsigned i = 0; i < interrupt_events; i++) {
            add(100 + i);
        }
    }
}

/* Records function 1 and is interrupted. Returns false if it was over before. */
static bool add_interrupted(unsigned step, unsigned events)
{
    interrupt_at_step = step;
    interrupt_events = events;
    interrupt_came = false;
    trace_ring_set(0, memory, RING);
    single_step_begin(interrupt);
    add(1);
    single_step_end();
    return interrupt_came;
}

static void interrupted_recorder_loses_no_event(void **state)
{
    (void)state;
    unsigned step = 1;

    for (; add_interrupted(step, 2); step++) {
        unsigned seen[3] = {0};

        if (trace_ring_newest(0) != 3) { /* before it has begun, or behind its end, too */
            fail_msg("%lu events when interrupted behind instruction %u",
                     (unsigned long)trace_ring_newest(0), step);
        }
        for (uint64_t sequence = 1; sequence <= 3; sequence++) {
            struct trace_event event;

            assert_true(trace_ring_get(0, sequence, &event));
            assert_true(is_whole(&event));
            seen[event.function == 1 ? 0 : event.function - 99]++;
        }
        assert_true(seen[0] == 1 && seen[1] == 1 && seen[2] == 1);
    }
    assert_true(step > 10);
}

/* The interrupt takes the whole ring, the slot of the interrupted recorder included. */
static void recorder_that_a_whole_lap_overtook_leaves_no_mixed_event(void **state)
{
    (void)state;
    unsigned step = 1;

    for (; add_interrupted(step, RING + 3); step++) {
        uint64_t newest = trace_ring_newest(0);
        unsigned whole = 0;

        assert_int_equal(newest, RING + 4);
        for (uint64_t sequence = newest - RING + 1; sequence <= newest; sequence++) {
            struct trace_event event;

            if (trace_ring_get(0, sequence, &event)) {
                assert_true(is_whole(&event));
                whole++;
            }
        }
        assert_true(whole >= RING - 1);
    }
    assert_true(step > 10);
}

static unsigned whole_copies, torn_copies;

static void read_first_slot(void)
{
    for (uint64_t sequence = 1; sequence <= RING + 1; sequence += RING) {
        struct trace_event event;

        if (trace_ring_get(0, sequence, &event)) {
            whole_copies += is_whole(&event) && event.function == sequence;
            torn_copies += !is_whole(&event) || event.function != sequence;
        }
    }
}

static void event_is_read_whole_or_not_at_all_while_it_is_written(void **state)
{
    (void)state;
    whole_copies = 0;
    torn_copies = 0;
    for (uint64_t i = 1; i <= RING; i++) {
        add(i);
    }
    single_step_begin(read_first_slot);
    add(RING + 1);
    single_step_end();
    assert_true(whole_copies > 0 && whole_copies < single_step_count());
    assert_int_equal(torn_copies, 0);
}

static void overwrite_first_slot(void)
{
    if (single_step_count() == interrupt_at_step) {
        interrupt_came = true;
        add(RING + 1);
    }
}

static void event_overwritten_while_it_is_read_is_not_returned(void **state)
{
    (void)state;
    interrupt_at_step = 0;
    whole_copies = 0;
    do {
        struct trace_event event;

        interrupt_at_step++;
        interrupt_came = false;
        trace_ring_set(0, memory, RING);
        for (uint64_t i = 1; i <= RING; i++) {
            add(i);
        }
        single_step_begin(overwrite_first_slot);

        bool copied = trace_ring_get(0, 1, &event);

        single_step_end();
        assert_true(!copied || (is_whole(&event) && event.function == 1));
        whole_copies += copied;
    } while (interrupt_came);
    assert_true(whole_copies > 0 && whole_copies < interrupt_at_step);
}

static bool was_busy;
static bool wrote_while_idle;

/* From the first byte written to the last, the rings must not look idle. */
static void look_whether_idle(void)
{
    static uint64_t claimed;
    bool idle = trace_rings_are_idle();

    was_busy |= !idle;
    wrote_while_idle |= idle && trace_ring_newest(0) != claimed && memory[1].sequence != 1;
    claimed = idle ? trace_ring_newest(0) : claimed;
}

static void rings_are_not_idle_while_an_event_is_written(void **state)
{
    (void)state;
    was_busy = false;
    wrote_while_idle = false;
    assert_true(trace_rings_are_idle());
    single_step_begin(look_whether_idle);
    add(1);
    single_step_end();
    assert_true(was_busy);
    assert_false(wrote_while_idle);
    assert_true(trace_rings_are_idle());
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup_teardown(ring_keeps_the_newest_and_counts_the_others, setup, teardown),
    cmocka_unit_test_setup_teardown(exchanged_rings_keep_what_they_hold, setup, teardown),
    cmocka_unit_test_setup_teardown(nothing_is_recorded_while_it_is_off_or_without_a_ring, setup,
                                    teardown),
    cmocka_unit_test_setup_teardown(interrupted_recorder_loses_no_event, setup, teardown),
    cmocka_unit_test_setup_teardown(recorder_that_a_whole_lap_overtook_leaves_no_mixed_event, setup,
                                    teardown),
    cmocka_unit_test_setup_teardown(event_is_read_whole_or_not_at_all_while_it_is_written, setup,
                                    teardown),
    cmocka_unit_test_setup_teardown(event_overwritten_while_it_is_read_is_not_returned, setup,
                                    teardown),
    cmocka_unit_test_setup_teardown(rings_are_not_idle_while_an_event_is_written, setup, teardown),
};

HOST_TEST_MAIN(tests, NULL)
