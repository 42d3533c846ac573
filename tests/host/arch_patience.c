// SPDX-License-Identifier: MIT
/* Tests of arch/patience.h, on clocks that the test makes up: a waiter that is never away gives up
 * by the clock; one that was away has waited for what one look may count at most. Would miss: a
 * caller that looks too seldom, or begins at the wrong moment. */
#include "tests/host/host_test.h"

#include <stdbool.h>

#include "arch/patience.h"

#define LIMIT_NS    2000000000ull
#define LOOK_MAX_NS (LIMIT_NS / PATIENCE_LOOKS + 1)
#define START_NS    700ull
#define AWAY_NS     (3600 * 1000000000ull)

static void zeros_have_not_begun(void **state)
{
    struct patience patience = {0};

    (void)state;
    assert_false(patience_has_begun(&patience));
    patience = patience_begin(0, 0);
    assert_true(patience_has_begun(&patience));
}

static void steady_looks_count_as_the_clock_does(void **state)
{
    struct patience patience = patience_begin(START_NS, LIMIT_NS);

    (void)state;
    assert_int_equal(patience_spent(&patience, START_NS), 0);
    for (uint64_t ns = 1; ns < 100000; ns += 1 + ns % 977) {
        assert_int_equal(patience_spent(&patience, START_NS + ns * 1000), ns * 1000);
    }
}

/* The last nanosecond that counts, and the first that does not. */
static void gap_counts_up_to_the_limit_of_a_look(void **state)
{
    static const struct {
        uint64_t gap_ns, counted_ns;
    } gaps[] = {
        {LOOK_MAX_NS - 1, LOOK_MAX_NS - 1},
        {LOOK_MAX_NS, LOOK_MAX_NS},
        {LOOK_MAX_NS + 1, LOOK_MAX_NS},
        {LIMIT_NS, LOOK_MAX_NS},
        {AWAY_NS, LOOK_MAX_NS},
        {UINT64_MAX - START_NS, LOOK_MAX_NS},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(gaps) / sizeof(gaps[0]); i++) {
        struct patience patience = patience_begin(START_NS, LIMIT_NS);

        assert_int_equal(patience_spent(&patience, START_NS + gaps[i].gap_ns), gaps[i].counted_ns);
    }
}

static void gap_is_counted_once_and_time_goes_on_behind_it(void **state)
{
    struct patience patience = patience_begin(START_NS, LIMIT_NS);
    uint64_t now_ns = START_NS + 5;

    (void)state;
    assert_int_equal(patience_spent(&patience, now_ns), 5);
    now_ns += AWAY_NS;
    assert_int_equal(patience_spent(&patience, now_ns), 5 + LOOK_MAX_NS);
    assert_int_equal(patience_spent(&patience, now_ns), 5 + LOOK_MAX_NS);
    assert_int_equal(patience_spent(&patience, now_ns + 8), 13 + LOOK_MAX_NS);
}

/* Looks until it is over. Returns how many that took, @step_ns apart. */
static unsigned looks_until_over(uint64_t limit_ns, uint64_t step_ns)
{
    struct patience patience = patience_begin(START_NS, limit_ns);
    uint64_t now_ns = START_NS;
    unsigned looks = 0;

    do {
        now_ns += step_ns;
        looks++;
        assert_true(looks <= 1000000);
    } while (patience_spent(&patience, now_ns) < limit_ns);
    return looks;
}

static void waiter_away_again_and_again_gives_up_after_sixteen_looks(void **state)
{
    (void)state;
    assert_int_equal(looks_until_over(LIMIT_NS, AWAY_NS), 16);
    assert_int_equal(looks_until_over(LIMIT_NS, LIMIT_NS / 16), 16);
    assert_int_equal(looks_until_over(LIMIT_NS, LIMIT_NS / 17), 18); /* 17 end just short of it */
    assert_int_equal(looks_until_over(LIMIT_NS, LIMIT_NS / 1000), 1000);
}

static void no_limit_is_waited_for_without_end(void **state)
{
    (void)state;
    assert_int_equal(looks_until_over(0, AWAY_NS), 1);
    assert_int_equal(looks_until_over(1, AWAY_NS), 1);
    assert_int_equal(looks_until_over(15, AWAY_NS), 15);
}

static void time_that_goes_back_counts_like_a_gap(void **state)
{
    struct patience patience = patience_begin(AWAY_NS, LIMIT_NS);

    (void)state;
    assert_int_equal(patience_spent(&patience, AWAY_NS - 1), LOOK_MAX_NS);
    assert_int_equal(patience_spent(&patience, AWAY_NS), LOOK_MAX_NS + 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(zeros_have_not_begun),
    cmocka_unit_test(steady_looks_count_as_the_clock_does),
    cmocka_unit_test(gap_counts_up_to_the_limit_of_a_look),
    cmocka_unit_test(gap_is_counted_once_and_time_goes_on_behind_it),
    cmocka_unit_test(waiter_away_again_and_again_gives_up_after_sixteen_looks),
    cmocka_unit_test(no_limit_is_waited_for_without_end),
    cmocka_unit_test(time_that_goes_back_counts_like_a_gap),
};

HOST_TEST_MAIN(tests, NULL)
