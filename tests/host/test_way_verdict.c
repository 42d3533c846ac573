// SPDX-License-Identifier: MIT
/* Verdicts on the epochs of a trial: each rule of way_verdict.h, at its edge. Why it detects:
 * epochs are written by hand, so that one rule alone decides. */
#include "patching/way_verdict.h"
#include "tests/host/host_test.h"

#include <string.h>

enum { BEST = 1, MIDDLE = 4, PLAIN = 6 };

static uint64_t epochs[WAYS_MAX][WAY_ROUNDS];

static void way_costs(unsigned way, uint64_t cost)
{
    for (unsigned round = 0; round < WAY_ROUNDS; round++) {
        epochs[way][round] = cost;
    }
}

/* A verdict on epochs that all cost the same, but for @others of what is not plain. */
static uint32_t verdict(uint64_t others, bool is_routine)
{
    const struct way_trial trial = {
        .epochs = epochs,
        .candidates = 1u << MIDDLE | 1u << PLAIN,
        .current = MIDDLE,
        .plain = PLAIN,
        .is_routine = is_routine,
    };

    way_costs(MIDDLE, others);
    way_costs(PLAIN, 10000);
    return way_verdict_choose(&trial);
}

/* Or as good within the noise, which is none here; a routine trial leaves in peace what is as good,
 * but not what does harm. */
static void plain_is_taken_where_nothing_is_better(void **state)
{
    (void)state;
    assert_int_equal(verdict(9900, false), MIDDLE);
    assert_int_equal(verdict(10000, false), PLAIN);
    assert_int_equal(verdict(10100, false), PLAIN);
    assert_int_equal(verdict(9500, false), MIDDLE);
    assert_int_equal(verdict(9900, true), MIDDLE);
    assert_int_equal(verdict(10000, true), MIDDLE);
    assert_int_equal(verdict(10500, true), PLAIN);
}

/* Whichever way is the plain one, and the current one; all numbers. */
static void cheapest_of_any_two_ways_is_taken(void **state)
{
    (void)state;
    for (uint32_t pair = 0; pair < WAYS_MAX * WAYS_MAX; pair++) {
        uint32_t cheap = pair % WAYS_MAX;
        uint32_t dear = pair / WAYS_MAX;
        const struct way_trial trial = {
            .epochs = epochs,
            .candidates = 1u << cheap | 1u << dear,
            .current = pair % 3 != 0 ? dear : cheap,
            .plain = pair % 5 != 0 ? dear : cheap,
        };

        way_costs(dear, 20000);
        way_costs(cheap, 10000);
        assert_int_equal(way_verdict_choose(&trial), cheap);
    }
}

/* One that is no candidate any more counts neither as the best nor as noise; behind the last
 * candidate there may be no memory. */
static void ways_that_are_no_candidates_do_not_count(void **state)
{
    uint64_t(*two)[WAY_ROUNDS] = malloc(2 * sizeof(*two));
    const struct way_trial trial = {.epochs = two, .candidates = 3, .current = 0, .plain = 0};

    (void)state;
    assert_non_null(two);
    for (unsigned round = 0; round < WAY_ROUNDS; round++) {
        two[0][round] = 10000;
        two[1][round] = 9000;
        for (unsigned way = 0; way < WAYS_MAX; way++) {
            epochs[way][round] = 1 + 5000 * round;
        }
    }
    assert_int_equal(way_verdict_choose(&trial), 1);
    free(two);
    way_costs(BEST, 9000);
    way_costs(PLAIN, 10000);

    const struct way_trial more = {
        .epochs = epochs, .candidates = 1u << BEST | 1u << PLAIN, .current = PLAIN, .plain = PLAIN};

    assert_int_equal(way_verdict_choose(&more), BEST);
}

static void hopeless_ways_are_left_out_and_the_current_one_is_not(void **state)
{
    uint32_t all = 1u << BEST | 1u << MIDDLE | 1u << PLAIN;

    (void)state;
    way_costs(BEST, 10000);
    way_costs(MIDDLE, 12600);
    way_costs(PLAIN, 15100);
    assert_int_equal(way_verdict_hopeful(epochs, all, BEST, 1), all);
    assert_int_equal(way_verdict_hopeful(epochs, all, BEST, 2), 1u << BEST | 1u << MIDDLE);
    assert_int_equal(way_verdict_hopeful(epochs, all, BEST, 3), 1u << BEST);
    assert_int_equal(way_verdict_hopeful(epochs, all, PLAIN, 3), 1u << BEST | 1u << PLAIN);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(plain_is_taken_where_nothing_is_better),
    cmocka_unit_test(cheapest_of_any_two_ways_is_taken),
    cmocka_unit_test(ways_that_are_no_candidates_do_not_count),
    cmocka_unit_test(hopeless_ways_are_left_out_and_the_current_one_is_not),
};

HOST_TEST_MAIN(tests, NULL)
