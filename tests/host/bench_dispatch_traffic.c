// SPDX-License-Identifier: MIT
/* The sequences of targets for benches of dispatchers. Detects a sequence that is not what its name
 * says: a target that is not there, a share that is off, an order that differs from run to run.
 * Could miss: a pattern that shares do not show, such as a period. */
#include "bench/bench_dispatch_traffic.h"

#include "tests/host/host_test.h"

#include <stdlib.h>
#include <string.h>

static uint8_t numbers[DISPATCH_SEQUENCE];

static void count(enum dispatch_traffic traffic, uint32_t entries,
                  uint32_t counts[DISPATCHER_ENTRY_MAX + 1])
{
    memset(counts, 0, (DISPATCHER_ENTRY_MAX + 1) * sizeof(counts[0]));
    dispatch_traffic_generate(traffic, entries, numbers);
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        assert_true(numbers[i] <= DISPATCHER_ENTRY_MAX);
        counts[numbers[i]]++;
    }
}

/* Within a tenth, and 100 calls for small ones. */
static void expect_share(uint32_t counted, double expected)
{
    double tolerance = expected / 10 + 100;

    assert_true(counted > expected - tolerance && counted < expected + tolerance);
}

static void hits_name_entries_and_misses_none(void **state)
{
    (void)state;
    for (uint32_t entries = 0; entries <= DISPATCHER_ENTRY_MAX; entries++) {
        for (enum dispatch_traffic traffic = 0; traffic < DISPATCH_TRAFFIC_COUNT; traffic++) {
            bool all_miss = entries == 0 || traffic == DISPATCH_TRAFFIC_MISS;

            dispatch_traffic_generate(traffic, entries, numbers);
            for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
                assert_true(all_miss ? numbers[i] == DISPATCH_MISS : numbers[i] < entries);
            }
        }
    }
}

static void sequences_are_the_same_every_time(void **state)
{
    (void)state;
    static uint8_t again[DISPATCH_SEQUENCE];

    for (enum dispatch_traffic traffic = 0; traffic < DISPATCH_TRAFFIC_COUNT; traffic++) {
        dispatch_traffic_generate(traffic, 16, numbers);
        dispatch_traffic_generate(traffic, 64, again);
        dispatch_traffic_generate(traffic, 16, again);
        assert_memory_equal(numbers, again, sizeof(numbers));
    }
}

static void constant_traffic_has_one_target(void **state)
{
    (void)state;
    for (uint32_t entries = 0; entries <= DISPATCHER_ENTRY_MAX; entries++) {
        for (enum dispatch_traffic traffic = 0; traffic < DISPATCH_TRAFFIC_COUNT; traffic++) {
            bool is_constant = true;

            dispatch_traffic_generate(traffic, entries, numbers);
            for (uint32_t i = 1; i < DISPATCH_SEQUENCE; i++) {
                is_constant = is_constant && numbers[i] == numbers[0];
            }
            assert_int_equal(is_constant, dispatch_traffic_is_constant(traffic, entries));
        }
    }
    dispatch_traffic_generate(DISPATCH_TRAFFIC_FIRST, 16, numbers);
    assert_int_equal(numbers[0], 0);
    dispatch_traffic_generate(DISPATCH_TRAFFIC_LAST, 16, numbers);
    assert_int_equal(numbers[0], 15);
}

static void round_robin_goes_by_address(void **state)
{
    (void)state;
    dispatch_traffic_generate(DISPATCH_TRAFFIC_ROUND_ROBIN, 16, numbers);
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        assert_int_equal(numbers[i], i % 16);
    }
}

static void random_targets_are_equally_frequent(void **state)
{
    (void)state;
    uint32_t counts[DISPATCHER_ENTRY_MAX + 1];

    for (uint32_t entries = 2; entries <= DISPATCHER_ENTRY_MAX; entries *= 2) {
        count(DISPATCH_TRAFFIC_RANDOM, entries, counts);
        for (uint32_t i = 0; i < entries; i++) {
            expect_share(counts[i], (double)DISPATCH_SEQUENCE / entries);
        }
    }
}

/* 95 of 100 calls have the target of the call before, and one of 16 of the others by chance. */
static void bursts_stay_with_their_target(void **state)
{
    (void)state;
    uint32_t changes = 0;

    dispatch_traffic_generate(DISPATCH_TRAFFIC_BURST, 16, numbers);
    for (uint32_t i = 1; i < DISPATCH_SEQUENCE; i++) {
        changes += numbers[i] != numbers[i - 1];
    }
    expect_share(changes, DISPATCH_SEQUENCE * 0.05 * 15 / 16);
}

/* And the order of the addresses is not that of the ranks. */
static void zipf_shares_fall_with_the_rank(void **state)
{
    (void)state;
    uint32_t counts[DISPATCHER_ENTRY_MAX + 1], entries = DISPATCHER_ENTRY_MAX, in_order = 0;
    uint8_t hottest[DISPATCHER_ENTRY_MAX];
    double harmonic = 0;

    for (uint32_t rank = 1; rank <= entries; rank++) {
        harmonic += 1.0 / rank;
    }
    count(DISPATCH_TRAFFIC_ZIPF, entries, counts);
    dispatch_traffic_hottest(numbers, entries, hottest);
    for (uint32_t rank = 1; rank <= entries; rank++) {
        expect_share(counts[hottest[rank - 1]], DISPATCH_SEQUENCE / harmonic / rank);
        in_order += hottest[rank - 1] == rank - 1;
    }
    assert_true(in_order < entries / 4);
}

static void hottest_are_sorted_and_complete(void **state)
{
    (void)state;
    uint32_t counts[DISPATCHER_ENTRY_MAX + 1];

    for (enum dispatch_traffic traffic = 0; traffic < DISPATCH_TRAFFIC_COUNT; traffic++) {
        for (uint32_t entries = 0; entries <= DISPATCHER_ENTRY_MAX; entries++) {
            uint8_t hottest[DISPATCHER_ENTRY_MAX];
            uint64_t seen = 0;

            count(traffic, entries, counts);
            dispatch_traffic_hottest(numbers, entries, hottest);
            for (uint32_t i = 0; i < entries; i++) {
                seen |= 1ull << hottest[i];
                assert_true(
                    i == 0 || counts[hottest[i]] < counts[hottest[i - 1]] ||
                    (counts[hottest[i]] == counts[hottest[i - 1]] && hottest[i] > hottest[i - 1]));
            }
            assert_int_equal(__builtin_popcountll(seen), entries);
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(hits_name_entries_and_misses_none),
    cmocka_unit_test(sequences_are_the_same_every_time),
    cmocka_unit_test(constant_traffic_has_one_target),
    cmocka_unit_test(round_robin_goes_by_address),
    cmocka_unit_test(random_targets_are_equally_frequent),
    cmocka_unit_test(bursts_stay_with_their_target),
    cmocka_unit_test(zipf_shares_fall_with_the_rank),
    cmocka_unit_test(hottest_are_sorted_and_complete),
};

HOST_TEST_MAIN(tests, NULL)
