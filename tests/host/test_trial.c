// SPDX-License-Identifier: MIT
/* The recorder of calls, and what it makes of gaps. Why it detects: gaps are made here, so their
 * mean is known; the recorder is called as CPUs that the test plays. Could miss: what two CPUs do
 * at once; test_live_trial.c lets them. */
#include "patching/trial.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

enum { SEEDS = 500 };

static struct trial trial;
static uint64_t random_state;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    random_state = 88172645463325252ull;
    return 0;
}

static uint64_t below(uint64_t limit)
{
    return next_random(&random_state) % limit;
}

/* Samples with these gaps. Returns their number. */
static uint32_t samples_make(struct trial_sample *samples, const uint64_t *gaps, uint32_t count)
{
    samples[0].ticks = next_random(&random_state) >> 20;
    for (uint32_t i = 0; i < count; i++) {
        samples[i + 1].ticks = samples[i].ticks + gaps[i];
    }
    return count + 1;
}

static void cost_of_gaps_is_their_mean(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    uint64_t gaps[TRIAL_SAMPLES - 1];

    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        uint32_t count = 1 + (uint32_t)below(ARRAY_COUNT(gaps));
        uint64_t least = 1 + below(1000);
        uint64_t sum = 0;

        for (uint32_t i = 0; i < count; i++) {
            gaps[i] = least + below(least * (TRIAL_LIMIT_MEDIANS - 1)); /* none is cut */
            sum += gaps[i];
        }
        uint64_t cost = trial_cost(samples, samples_make(samples, gaps, count));

        assert_int_equal(cost, sum * TRIAL_COST_UNIT / count);
    }
}

/* Hits and mispredictions, the latter four times as long: the cost tells their shares. */
static void shares_of_mispredictions_are_kept(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    uint64_t gaps[TRIAL_SAMPLES - 1];

    (void)state;
    for (uint32_t percent = 0; percent <= 100; percent++) {
        uint64_t slow = 0;

        for (uint32_t i = 0; i < ARRAY_COUNT(gaps); i++) {
            bool is_slow = below(100) < percent;

            gaps[i] = is_slow ? 160 : 40;
            slow += is_slow;
        }
        uint64_t cost = trial_cost(samples, samples_make(samples, gaps, ARRAY_COUNT(gaps)));
        uint64_t mean = 40 * TRIAL_COST_UNIT + slow * 120 * TRIAL_COST_UNIT / ARRAY_COUNT(gaps);

        assert_in_range(cost, mean - 1, mean + 1);
    }
}

/* Interrupts and idle pauses, up to 1 % of all gaps: each counts as TRIAL_LIMIT_MEDIANS calls. */
static void pauses_are_cut_down(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    uint64_t gaps[TRIAL_SAMPLES - 1];

    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        uint32_t pauses = (uint32_t)below(11);

        for (uint32_t i = 0; i < ARRAY_COUNT(gaps); i++) {
            gaps[i] = 100;
        }
        for (uint32_t i = 0; i < pauses; i++) {
            gaps[100 * i + below(100)] = 1000 + (next_random(&random_state) >> (below(40) + 4));
        }
        uint64_t cost = trial_cost(samples, samples_make(samples, gaps, ARRAY_COUNT(gaps)));
        uint64_t sum = 100 * ARRAY_COUNT(gaps) + pauses * (TRIAL_LIMIT_MEDIANS - 1) * 100;

        assert_int_equal(cost, sum * TRIAL_COST_UNIT / ARRAY_COUNT(gaps));
    }
}

static void strange_clocks_do_no_harm(void **state)
{
    struct trial_sample still[3] = {{7, 0}, {7, 0}, {7, 0}};
    struct trial_sample back[4] = {{1000, 0}, {900, 0}, {1000, 0}, {1100, 0}};

    (void)state;
    assert_int_equal(trial_cost(still, 0), 0);
    assert_int_equal(trial_cost(still, 1), 0);
    assert_int_equal(trial_cost(still, 3), 0);
    assert_int_equal(trial_cost(back, 4), 200 * TRIAL_COST_UNIT / 3);
}

static void first_cpu_records_and_no_other(void **state)
{
    (void)state;
    trial_start(&trial, TRIAL_ANY_CPU);
    assert_int_equal(trial_cpu(&trial), TRIAL_ANY_CPU);
    for (unsigned i = 0; i < 30; i++) {
        recorder.cpu = 3 - i % 3;
        trial_record(&trial, i);
    }
    assert_int_equal(trial_cpu(&trial), 3);
    assert_int_equal(trial_stop(&trial), 10);
    assert_int_equal(trial_cpu(&trial), 3);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(trial.samples[i].target, 3 * i);
        assert_true(i == 0 || trial.samples[i].ticks > trial.samples[i - 1].ticks);
    }
}

static void nobody_records_but_between_start_and_stop(void **state)
{
    (void)state;
    trial = (struct trial){.cpu = TRIAL_NO_CPU};
    recorder.cpu = 1;
    trial_record(&trial, 1);
    assert_int_equal(trial_stop(&trial), 0);
    assert_int_equal(trial_cpu(&trial), TRIAL_NO_CPU);
    trial_start(&trial, TRIAL_ANY_CPU);
    assert_int_equal(trial_stop(&trial), 0);
    assert_int_equal(trial_cpu(&trial), TRIAL_NO_CPU); /* nobody came */
    trial_start(&trial, 1);
    trial_record(&trial, 1);
    assert_int_equal(trial_stop(&trial), 1);
    trial_record(&trial, 1);
    assert_int_equal(trial_stop(&trial), 1);
    trial_start(&trial, 2);
    trial_record(&trial, 1); /* as CPU 1 */
    assert_int_equal(trial_stop(&trial), 0);
}

static void full_buffer_stays_as_it_is(void **state)
{
    static struct {
        struct trial trial;
        uint64_t behind;
    } guarded = {.behind = 0x5a5a};

    (void)state;
    trial_start(&guarded.trial, TRIAL_ANY_CPU);
    for (uint64_t i = 0; i < TRIAL_SAMPLES + 100; i++) {
        assert_int_equal(trial_is_full(&guarded.trial), i >= TRIAL_SAMPLES);
        trial_record(&guarded.trial, i);
    }
    assert_int_equal(trial_stop(&guarded.trial), TRIAL_SAMPLES);
    assert_int_equal(guarded.trial.samples[TRIAL_SAMPLES - 1].target, TRIAL_SAMPLES - 1);
    assert_int_equal(guarded.behind, 0x5a5a);
}

static void overhead_is_the_recorders_own_gap(void **state)
{
    (void)state;
    /* The recorder's clock goes 10 ticks at each look. */
    assert_int_equal(trial_overhead(&trial), 10 * TRIAL_COST_UNIT);
    assert_int_equal(trial_stop(&trial), 64);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(cost_of_gaps_is_their_mean, setup),
    cmocka_unit_test_setup(shares_of_mispredictions_are_kept, setup),
    cmocka_unit_test_setup(pauses_are_cut_down, setup),
    cmocka_unit_test_setup(strange_clocks_do_no_harm, setup),
    cmocka_unit_test_setup(first_cpu_records_and_no_other, setup),
    cmocka_unit_test_setup(nobody_records_but_between_start_and_stop, setup),
    cmocka_unit_test_setup(full_buffer_stays_as_it_is, setup),
    cmocka_unit_test_setup(overhead_is_the_recorders_own_gap, setup),
};

HOST_TEST_MAIN(tests, NULL)
