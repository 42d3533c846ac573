// SPDX-License-Identifier: MIT
/* Tables of who is called, and their sum. Why it detects: every count is compared with a plain
 * model that has a counter for each target and no rows. What an interrupt does in the middle of a
 * count is not played: the header promises no more than that it may be lost. */
#include "patching/dynamic_count.h"
#include "patching/platform.h"
#include "tests/host/host_test.h"

#include <string.h>

enum { TARGETS = 40, BASE = 0x1000, CALLS = 20000 };

static struct dynamic_count tables[PATCH_CPU_MAX];
static struct dynamic_census census;

static int setup(void **state)
{
    (void)state;
    memset(tables, 0xa5, sizeof(tables)); /* memory is as it comes */
    dynamic_count_clear(tables, PATCH_CPU_MAX);
    return 0;
}

static void call_often(unsigned cpu, uint64_t target, unsigned calls)
{
    while (calls-- > 0) {
        dynamic_count_call(&tables[cpu], target);
    }
}

static void merge(uint32_t cpus)
{
    memset(&census, 0x5a, sizeof(census));
    dynamic_count_merge(&census, tables, cpus);
}

static void expect_row(uint32_t number, uint64_t target, uint64_t calls)
{
    assert_true(number < census.row_count);
    assert_int_equal(census.rows[number].target, target);
    assert_int_equal(census.rows[number].calls, calls);
}

static void nothing_counted_is_an_empty_census(void **state)
{
    (void)state;
    merge(PATCH_CPU_MAX);
    assert_int_equal(census.row_count, 0);
    assert_int_equal(census.others, 0);
    assert_int_equal(census.total, 0);
}

static void calls_are_ranked_by_number_and_ties_by_address(void **state)
{
    (void)state;
    call_often(0, BASE + 3, 5);
    call_often(0, BASE + 2, 7);
    call_often(0, BASE + 1, 5);
    call_often(0, BASE + 4, 1);
    merge(1);
    assert_int_equal(census.row_count, 4);
    expect_row(0, BASE + 2, 7);
    expect_row(1, BASE + 1, 5);
    expect_row(2, BASE + 3, 5);
    expect_row(3, BASE + 4, 1);
    assert_int_equal(census.total, 18);
    assert_int_equal(census.others, 0);
}

static void targets_without_a_row_are_counted_all_the_same(void **state)
{
    (void)state;
    for (unsigned i = 0; i < DYNAMIC_ROWS + 5; i++) {
        call_often(0, BASE + i, i + 1);
    }
    merge(1);
    assert_int_equal(census.row_count, DYNAMIC_ROWS);
    expect_row(0, BASE + DYNAMIC_ROWS - 1, DYNAMIC_ROWS);
    assert_int_equal(census.others, 8 + 9 + 10 + 11 + 12);
    assert_int_equal(census.total, 12 * 13 / 2);
}

/* As each CPU has rows of its own, there may be many more targets than the census has. */
static void least_called_of_many_targets_go_to_others(void **state)
{
    uint64_t others = 0;

    (void)state;
    for (unsigned i = 0; i < TARGETS; i++) {
        call_often(i / DYNAMIC_ROWS, BASE + i, 1 + i * 7 % TARGETS); /* all different */
    }
    merge(PATCH_CPU_MAX);
    assert_int_equal(census.row_count, DYNAMIC_CENSUS_ROWS);
    for (unsigned i = 0; i < DYNAMIC_CENSUS_ROWS; i++) {
        uint64_t calls = TARGETS - i;

        assert_int_equal(census.rows[i].calls, calls);
        assert_int_equal(1 + (census.rows[i].target - BASE) * 7 % TARGETS, calls);
    }
    for (unsigned calls = 1; calls <= TARGETS - DYNAMIC_CENSUS_ROWS; calls++) {
        others += calls;
    }
    assert_int_equal(census.others, others);
    assert_int_equal(census.total, TARGETS * (TARGETS + 1) / 2);
}

static void all_cpus_are_added_up_and_no_other(void **state)
{
    (void)state;
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        call_often(cpu, BASE, 2);
        call_often(cpu, BASE + 1 + cpu % 3, cpu);
    }
    merge(PATCH_CPU_MAX);
    assert_int_equal(census.row_count, 4);
    expect_row(3, BASE, 2 * PATCH_CPU_MAX);
    assert_int_equal(census.total, 2 * PATCH_CPU_MAX + PATCH_CPU_MAX * (PATCH_CPU_MAX - 1) / 2);
    merge(2);
    assert_int_equal(census.row_count, 2); /* CPU 0 made no other calls, CPU 1 one */
    expect_row(0, BASE, 4);
    expect_row(1, BASE + 2, 1);
}

static void forgotten_target_is_nowhere_and_the_others_stay(void **state)
{
    (void)state;
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        call_often(cpu, BASE + 1, 1);
        call_often(cpu, BASE, 3);
        call_often(cpu, BASE + 2, 2);
    }
    dynamic_count_forget(tables, PATCH_CPU_MAX, BASE);
    merge(PATCH_CPU_MAX);
    assert_int_equal(census.row_count, 2);
    expect_row(0, BASE + 2, 2 * PATCH_CPU_MAX);
    expect_row(1, BASE + 1, PATCH_CPU_MAX);
    assert_int_equal(census.total, 3 * PATCH_CPU_MAX);
}

/* Behind a row that was freed a target may get a second one: it is still one target. */
static void target_with_two_rows_is_one_and_is_forgotten_in_both(void **state)
{
    (void)state;
    call_often(0, BASE, 3);
    call_often(0, BASE + 1, 5);
    dynamic_count_forget(tables, 1, BASE);
    call_often(0, BASE + 1, 4);
    merge(1);
    assert_int_equal(census.row_count, 1);
    expect_row(0, BASE + 1, 9);
    dynamic_count_forget(tables, 1, BASE + 1);
    merge(1);
    assert_int_equal(census.total, 0);
}

/* An interrupted count stores what it has loaded before the table was cleared. */
static void row_of_another_target_begins_at_nothing(void **state)
{
    (void)state;
    call_often(0, BASE, 1000);
    dynamic_count_clear(tables, 1);
    tables[0].rows[0].calls = 1001;
    merge(1);
    assert_int_equal(census.total, 0);
    call_often(0, BASE + 1, 2);
    merge(1);
    assert_int_equal(census.row_count, 1);
    expect_row(0, BASE + 1, 2);
}

static void cleared_tables_count_anew(void **state)
{
    (void)state;
    for (unsigned i = 0; i < TARGETS; i++) {
        call_often(3, BASE + i, 1);
    }
    dynamic_count_clear(tables, PATCH_CPU_MAX);
    call_often(3, BASE + TARGETS, 1);
    merge(PATCH_CPU_MAX);
    assert_int_equal(census.row_count, 1);
    assert_int_equal(census.total, 1);
    expect_row(0, BASE + TARGETS, 1);
}

/* At random, with as many targets as CPUs have rows: against counters without rows. */
static void sums_are_those_of_plain_counters(void **state)
{
    uint64_t random = 20261122;
    uint64_t model[DYNAMIC_ROWS] = {0};

    (void)state;
    for (unsigned i = 0; i < CALLS; i++) {
        uint64_t number = next_random(&random) % (1 + next_random(&random) % DYNAMIC_ROWS);

        dynamic_count_call(&tables[next_random(&random) % PATCH_CPU_MAX], BASE + number);
        model[number]++;
    }
    merge(PATCH_CPU_MAX);
    assert_int_equal(census.row_count, DYNAMIC_ROWS);
    assert_int_equal(census.total, CALLS);
    assert_int_equal(census.others, 0);
    for (unsigned i = 0; i < DYNAMIC_ROWS; i++) {
        assert_int_equal(census.rows[i].calls, model[census.rows[i].target - BASE]);
        assert_true(i == 0 || census.rows[i - 1].calls >= census.rows[i].calls);
    }
}

#define COUNT_TEST(function) cmocka_unit_test_setup(function, setup)

static const struct CMUnitTest tests[] = {
    COUNT_TEST(nothing_counted_is_an_empty_census),
    COUNT_TEST(calls_are_ranked_by_number_and_ties_by_address),
    COUNT_TEST(targets_without_a_row_are_counted_all_the_same),
    COUNT_TEST(least_called_of_many_targets_go_to_others),
    COUNT_TEST(all_cpus_are_added_up_and_no_other),
    COUNT_TEST(forgotten_target_is_nowhere_and_the_others_stay),
    COUNT_TEST(target_with_two_rows_is_one_and_is_forgotten_in_both),
    COUNT_TEST(row_of_another_target_begins_at_nothing),
    COUNT_TEST(cleared_tables_count_anew),
    COUNT_TEST(sums_are_those_of_plain_counters),
};

HOST_TEST_MAIN(tests, NULL)
