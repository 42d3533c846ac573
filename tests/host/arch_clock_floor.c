// SPDX-License-Identifier: MIT
/* Tests of arch/clock_floor.c, over a clock that the test sets: reads of many threads never go
 * back, and the floor is let go only by a source that has passed it. Would miss: an order of two
 * words that x86 keeps by itself. */
#include "tests/host/host_test.h"

#include <pthread.h>
#include <stdbool.h>

#include "arch/clock.h"
#include "arch/clock_floor.h"

#define THREADS   4
#define RAISES    200000
#define LIMIT_NS  1000000000ull
#define START_NS  1000000ull
#define BEHIND_NS 50ull

struct clock_scale clock_scale = {.ns_per_tick_shifted = 1ull << 32}; /* a tick is a ns */

static uint64_t source_ns; /* what the source of the clock says, the next time more */
static uint64_t step_ns;

uint64_t clock_now_ns(void)
{
    source_ns += step_ns;
    return clock_floor_apply(source_ns);
}

static void without_a_floor_times_pass_as_they_are(void **state)
{
    (void)state;
    assert_int_equal(clock_floor_apply(9), 9);
    assert_int_equal(clock_floor_apply(4), 4);
}

static uint64_t newest_returned; /* atomic; by any thread */
static uint64_t steps_back;      /* atomic */

/* Sources that differ from thread to thread by much more than one step. */
static void *raise_often(void *argument)
{
    uint64_t ahead = *(const uint64_t *)argument;

    for (uint64_t i = 0; i < RAISES; i++) {
        uint64_t before = __atomic_load_n(&newest_returned, __ATOMIC_SEQ_CST);
        uint64_t ns = clock_floor_apply(i + ahead);

        if (ns < before || ns < i + ahead) {
            __atomic_fetch_add(&steps_back, 1, __ATOMIC_RELAXED);
        }
        __atomic_store_n(&newest_returned, ns, __ATOMIC_SEQ_CST);
    }
    return NULL;
}

static void no_thread_sees_time_go_back(void **state)
{
    static uint64_t ahead[THREADS] = {0, 1000, 50000, 3};
    pthread_t threads[THREADS];

    (void)state;
    clock_floor_set();
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, raise_often, &ahead[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    assert_int_equal(steps_back, 0);
    assert_int_equal(clock_floor_apply(0), 50000 + RAISES - 1);
}

/* A source that stands still returns the floor itself, which is not past it. */
static void floor_stays_under_a_source_that_is_behind(void **state)
{
    uint64_t waited_ns = 0;

    (void)state;
    clock_floor_set();
    assert_int_equal(clock_floor_apply(START_NS), START_NS);
    source_ns = START_NS - BEHIND_NS;
    step_ns = 0;
    assert_false(clock_floor_release(START_NS, &waited_ns));
    assert_true(waited_ns >= START_NS);
    assert_true(clock_floor_is_on);
    assert_int_equal(clock_now_ns(), START_NS);
}

static void floor_goes_when_the_source_has_passed_it(void **state)
{
    uint64_t waited_ns = 0;

    (void)state;
    clock_floor_set();
    assert_int_equal(clock_floor_apply(2 * START_NS), 2 * START_NS);
    source_ns = 2 * START_NS - BEHIND_NS;
    step_ns = 1;
    assert_true(clock_floor_release(LIMIT_NS, &waited_ns));
    assert_false(clock_floor_is_on);
    assert_int_equal(source_ns, 2 * START_NS + 1); /* waited for, and not longer */
    assert_int_equal(clock_floor_apply(1), 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(without_a_floor_times_pass_as_they_are),
    cmocka_unit_test(no_thread_sees_time_go_back),
    cmocka_unit_test(floor_stays_under_a_source_that_is_behind),
    cmocka_unit_test(floor_goes_when_the_source_has_passed_it),
};

HOST_TEST_MAIN(tests, NULL)
