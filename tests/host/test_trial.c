// SPDX-License-Identifier: MIT
/* The recorder of calls, and what it makes of gaps. Why it detects: gaps are made here, so their
 * mean is known; the recorder is called as CPUs that the test plays. Could miss: what two CPUs do
 * at once; test_live_trial.c lets them. */
#include "patching/trial.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

enum { SEEDS = 500, GAPS = TRIAL_SAMPLES / TRIAL_STRIDE - 1 };

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

/* Samples with these gaps between time stamps, and some behind the last one; what is no time stamp
 * is nonsense. Returns their number. */
static uint32_t samples_make(struct trial_sample *samples, const uint64_t *gaps, uint32_t count)
{
    uint64_t ticks = next_random(&random_state) >> 20;
    uint32_t number = count * TRIAL_STRIDE + 1 + (uint32_t)below(TRIAL_STRIDE);

    for (uint32_t i = 0; i < number; i++) {
        samples[i].ticks = next_random(&random_state);
    }
    for (uint32_t i = 0; i <= count; i++) {
        samples[i * TRIAL_STRIDE].ticks = ticks;
        ticks += i < count ? gaps[i] : 0;
    }
    return number;
}

static void cost_of_gaps_is_their_mean(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    uint64_t gaps[GAPS];

    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        uint32_t count = 1 + (uint32_t)below(GAPS);
        uint64_t least = 1 + below(10000);
        uint64_t sum = 0;

        for (uint32_t i = 0; i < count; i++) {
            gaps[i] = least + below(least * (TRIAL_LIMIT_MEDIANS - 1)); /* none is cut */
            sum += gaps[i];
        }
        uint64_t cost = trial_cost(samples, samples_make(samples, gaps, count));

        assert_int_equal(cost, sum * TRIAL_COST_UNIT / (count * TRIAL_STRIDE));
    }
}

/* Calls of 20 ticks, and mispredictions that take four times as long: the cost tells their shares,
 * but for the few gaps of hardly anything else where they are rare. */
static void shares_of_mispredictions_are_kept(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    uint64_t gaps[GAPS];

    (void)state;
    for (uint32_t percent = 0; percent <= 100; percent++) {
        uint64_t slow = 0;

        for (uint32_t i = 0; i < GAPS; i++) {
            gaps[i] = 0;
            for (unsigned call = 0; call < TRIAL_STRIDE; call++) {
                bool is_slow = below(100) < percent;

                gaps[i] += is_slow ? 80 : 20;
                slow += is_slow;
            }
        }
        uint64_t cost = trial_cost(samples, samples_make(samples, gaps, GAPS));
        uint64_t mean = 20 * TRIAL_COST_UNIT + slow * 60 * TRIAL_COST_UNIT / (GAPS * TRIAL_STRIDE);

        assert_in_range(cost, mean - mean / 100 - 1, mean + 1);
    }
}

/* Interrupts and idle pauses: each counts as TRIAL_LIMIT_MEDIANS gaps. */
static void pauses_are_cut_down(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    uint64_t gaps[GAPS];

    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        uint32_t pauses = (uint32_t)below(7);

        for (uint32_t i = 0; i < GAPS; i++) {
            gaps[i] = 800;
        }
        for (uint32_t i = 0; i < pauses; i++) {
            gaps[9 * i + below(9)] = 4000 + (next_random(&random_state) >> (below(40) + 4));
        }
        uint64_t cost = trial_cost(samples, samples_make(samples, gaps, GAPS));
        uint64_t sum = 800 * GAPS + pauses * (TRIAL_LIMIT_MEDIANS - 1) * 800;

        assert_int_equal(cost, sum * TRIAL_COST_UNIT / (GAPS * TRIAL_STRIDE));
    }
}

static void strange_clocks_do_no_harm(void **state)
{
    static struct trial_sample samples[TRIAL_SAMPLES];
    const uint64_t still[3] = {0};
    const uint64_t back[3] = {(uint64_t)-100, 320, 640};
    uint32_t count = samples_make(samples, still, 3);

    (void)state;
    assert_int_equal(trial_cost(samples, 0), 0);
    assert_int_equal(trial_cost(samples, TRIAL_STRIDE), 0);
    assert_int_equal(trial_cost(samples, count), 0);
    count = samples_make(samples, back, 3);
    assert_int_equal(trial_cost(samples, TRIAL_STRIDE + 1), 0); /* back alone */
    assert_int_equal(trial_cost(samples, count), 30 * TRIAL_COST_UNIT);
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

/* Targets are the numbers of the calls. */
static void record(struct trial *subject, uint32_t calls)
{
    trial_start(subject, TRIAL_ANY_CPU);
    for (uint32_t i = 0; i < calls; i++) {
        assert_int_equal(trial_is_full(subject), i >= TRIAL_CALLS);
        trial_record(subject, i);
    }
}

static void full_buffer_stays_as_it_is(void **state)
{
    static struct {
        struct trial trial;
        uint64_t behind;
    } guarded = {.behind = 0x5a5a};

    (void)state;
    record(&guarded.trial, TRIAL_CALLS + 100);
    assert_int_equal(trial_stop(&guarded.trial), TRIAL_SAMPLES);
    for (uint32_t i = 0; i < TRIAL_SAMPLES; i++) {
        assert_int_equal(guarded.trial.samples[i].target, TRIAL_CALLS - TRIAL_SAMPLES + i);
    }
    assert_int_equal(guarded.behind, 0x5a5a);
}

/* The recorder's clock goes 10 ticks at each look, and each TRIAL_STRIDEth call looks. */
static void last_calls_are_kept_and_their_cost_known(void **state)
{
    (void)state;
    for (uint32_t calls = 0; calls < 4 * TRIAL_SAMPLES; calls += 1 + (uint32_t)below(50)) {
        uint32_t kept = calls < TRIAL_SAMPLES ? calls : TRIAL_SAMPLES;
        uint64_t seen = 0;

        record(&trial, calls);
        assert_int_equal(trial_stop(&trial), kept);
        for (uint32_t i = 0; i < kept; i++) {
            seen += trial.samples[i].target;
        }
        assert_int_equal(seen, (uint64_t)kept * (2 * calls - kept - 1 + (kept == 0)) / 2);
        assert_int_equal(trial_cost(trial.samples, kept),
                         kept > TRIAL_STRIDE ? 10 * TRIAL_COST_UNIT / TRIAL_STRIDE : 0);
    }
}

/* Packets come in bunches: what is between two bunches is the traffic's time, not the calls'. */
static void breaks_are_no_gaps(void **state)
{
    (void)state;
    trial_start(&trial, 0);
    for (unsigned call = 0; call < 20 * TRIAL_STRIDE; call++) {
        if (call % (4 * TRIAL_STRIDE) == 1) {
            recorder_time_pass(1000000);
            trial_break(&trial);
        }
        trial_record(&trial, call);
    }
    uint32_t kept = trial_stop(&trial);

    assert_int_equal(trial_cost(trial.samples, kept), 10 * TRIAL_COST_UNIT / TRIAL_STRIDE);
    for (unsigned call = 0; call < kept; call++) {
        assert_int_equal(trial.samples[call].target, call);
    }
}

static void calls_between_breaks_have_no_cost(void **state)
{
    (void)state;
    trial_start(&trial, 0);
    for (unsigned call = 0; call < TRIAL_CALLS; call++) {
        trial_break(&trial);
        trial_record(&trial, call);
    }
    assert_int_equal(trial_cost(trial.samples, trial_stop(&trial)), 0);
    trial_start(&trial, 0); /* and what was broken then is forgotten */
    trial_record(&trial, 1);
    assert_int_equal(trial.samples[0].ticks & TRIAL_BREAK, 0);
    (void)trial_stop(&trial);
}

static void overhead_is_the_recorders_own_gap(void **state)
{
    (void)state;
    assert_int_equal(trial_overhead(&trial), 10 * TRIAL_COST_UNIT / TRIAL_STRIDE);
    assert_true(trial_is_full(&trial));
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(cost_of_gaps_is_their_mean, setup),
    cmocka_unit_test_setup(shares_of_mispredictions_are_kept, setup),
    cmocka_unit_test_setup(pauses_are_cut_down, setup),
    cmocka_unit_test_setup(strange_clocks_do_no_harm, setup),
    cmocka_unit_test_setup(first_cpu_records_and_no_other, setup),
    cmocka_unit_test_setup(nobody_records_but_between_start_and_stop, setup),
    cmocka_unit_test_setup(full_buffer_stays_as_it_is, setup),
    cmocka_unit_test_setup(last_calls_are_kept_and_their_cost_known, setup),
    cmocka_unit_test_setup(breaks_are_no_gaps, setup),
    cmocka_unit_test_setup(calls_between_breaks_have_no_cost, setup),
    cmocka_unit_test_setup(overhead_is_the_recorders_own_gap, setup),
};

HOST_TEST_MAIN(tests, NULL)
