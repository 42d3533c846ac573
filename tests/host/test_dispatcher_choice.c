// SPDX-License-Identifier: MIT
/* The policy of dispatchers, against worlds made of numbers: what each shape costs, how noisy
 * measuring is, who is called. Why it detects: the world knows the true costs, and counts patches
 * itself. Could miss: noise of another form than these. */
#include "tests/host/dispatcher_world.h"
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

enum { SEEDS = 40 };

static const struct dispatcher_decision *last_decision(const struct world *world)
{
    assert_true(world->choice.decided > 0);
    return &world->choice.decisions[(world->choice.decided - 1) % DISPATCHER_DECISIONS];
}

static bool has_decided_by(const struct world *world, enum dispatcher_reason reason)
{
    bool has = false;

    for (uint64_t i = 0; i < world->choice.decided && i < DISPATCHER_DECISIONS; i++) {
        has |= world->choice.decisions[i].reason == reason;
    }
    return has;
}

/* That it ends within a tenth of the best, at rest, whatever it began with. */
static void expect_best(const struct world *world)
{
    double is = world_true_cost(world);
    double best = traffic_best_cost(world->traffic);

    if (world->situation.is_sampled || is > best * 1.1) {
        fail_msg("%s: ends with %s%s: %.1f; best: %.1f", world->traffic->name,
                 dispatcher_shape_name(world->situation.shape),
                 world->situation.is_sampled ? ", sampled" : "", is, best);
    }
}

static void converges_to_the_best_shape(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        for (unsigned i = 0; i < ARRAY_COUNT(traffics); i++) {
            struct world world = world_make(traffics[i], seed);

            world.noise = 0.005;
            world.situation.shape = seed % DISPATCHER_SHAPE_COUNT;
            world_run(&world, SECOND / 2);
            expect_best(&world);
            assert_int_equal(world.choice.decided, 1);
            assert_int_equal(last_decision(&world)->reason, DISPATCHER_REASON_FIRST);
            assert_int_equal(last_decision(&world)->patches, world.patches);
            assert_true(world.patches <= DISPATCHER_SHAPE_COUNT * DISPATCHER_TRIAL_ROUNDS + 2);
        }
    }
}

/* An interrupt, a migration of the host's: one epoch in thirty takes twice as long. */
static void spoiled_epochs_do_not_decide(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        for (unsigned i = 0; i < ARRAY_COUNT(traffics); i++) {
            struct world world = world_make(traffics[i], seed);

            world.noise = 0.005;
            world.spikes = 1 / 30.0;
            world_run(&world, SECOND / 2);
            assert_true(world_true_cost(&world) <=
                        traffic_best_cost(traffics[i]) + 0.15 * RECORDER_TICKS);
        }
    }
}

/* However noisy, whatever runs: no shape does less before a miss. */
static void misses_need_no_trial(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct world world = world_make(&traffic_all_miss, seed);

        world.noise = 0.9;
        world.is_untimed = seed % 2 != 0;
        world.situation.shape = seed % DISPATCHER_SHAPE_COUNT;
        world_run(&world, 5 * SECOND);
        assert_int_equal(world.situation.shape, DISPATCHER_NONE);
        assert_true(world.patches <= 2 * (world.choice.decided + 3)); /* watches, no trial */
    }
}

static void calls_that_cannot_be_timed_change_nothing(void **state)
{
    (void)state;
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        struct world world = world_make(&traffic_robin_16, 1);

        world.is_untimed = true;
        world.situation.shape = shape;
        world_run(&world, 600 * SECOND);
        assert_int_equal(world.situation.shape, shape);
        assert_false(world.situation.is_sampled);
        assert_in_range(world.choice.decided, 2, 16); /* it asks again, ever more seldom */
    }
}

/* Load that goes up and down, as seen in costs, answers that differ each time. */
static void fickle_costs_make_trials_rare(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct world world = world_make(&traffic_random_4, seed);

        world.noise = 0.9;
        world_run(&world, 600 * SECOND);
        assert_true(world.choice.decided < 40);
        assert_true(world.patches < 1000);
    }
}

/* Ten minutes of one traffic: after the first answer has stood for a second trial, it stands. */
static void steady_traffic_is_left_in_peace(void **state)
{
    static const double noises[] = {0.002, 0.01, 0.03, 0.1};

    (void)state;
    for (unsigned seed = 0; seed < 2; seed++) {
        for (unsigned i = 0; i < ARRAY_COUNT(traffics) * ARRAY_COUNT(noises); i++) {
            struct world world = world_make(traffics[i / ARRAY_COUNT(noises)], seed);

            world.noise = noises[i % ARRAY_COUNT(noises)];
            world_run(&world, 10 * SECOND);

            uint64_t patches = world.patches;
            uint64_t decided = world.choice.decided;
            unsigned changes = 0;

            for (unsigned minute = 0; minute < 10; minute++) {
                enum dispatcher_shape shape = last_decision(&world)->after;

                world_run(&world, 60 * SECOND);
                changes += last_decision(&world)->after != shape;
            }
            if (changes > 1) {
                fail_msg("%s, noise %.3f, seed %u: %u changes", world.traffic->name, world.noise,
                         seed, changes);
            }
            assert_true(world.choice.decided - decided <= 60);
            assert_true(world.patches - patches <= 600 * 3);
        }
    }
}

/* By its own measurements: the property that a full dispatcher lives by. */
static void never_worse_than_none_as_measured(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < 20 * SEEDS; seed++) {
        struct traffic traffic = {"any", 1 + seed % 64, {0}, {0.5}};
        struct world world = world_make(&traffic, seed);

        for (int shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
            traffic.costs[shape] = 30 + 10 * world_fraction(&world);
        }
        world.noise = 0.1 * world_fraction(&world);
        world.situation.shape = seed % DISPATCHER_SHAPE_COUNT;
        world_run(&world, SECOND);

        const struct dispatcher_decision *decision = last_decision(&world);

        assert_true(decision->costs[DISPATCHER_NONE] != 0);
        assert_true((double)decision->costs[decision->after] <=
                    1.05 * (double)decision->costs[DISPATCHER_NONE]);
    }
}

static void routine_trials_are_shorter(void **state)
{
    struct world world = world_make(&traffic_random_4, 1);

    (void)state;
    world_run(&world, SECOND / 2);
    assert_true(last_decision(&world)->samples > DISPATCHER_TRIAL_ROUNDS * TRIAL_SAMPLES);
    world_run(&world, 2 * SECOND);
    assert_int_equal(last_decision(&world)->reason, DISPATCHER_REASON_TIME);
    assert_true(last_decision(&world)->samples <=
                (1 + DISPATCHER_SHAPE_COUNT * DISPATCHER_ROUTINE_ROUNDS) * TRIAL_SAMPLES);
    assert_int_equal(world.choice.epochs[last_decision(&world)->after][DISPATCHER_ROUTINE_ROUNDS],
                     0);
}

/* By less than an alarm needs: a trial that nothing but time calls for finds it, in the noise. */
static void shape_that_became_worse_than_none_is_left(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct traffic traffic = {"grows dearer", 8, {28, 40, 40, 40, 40, 40, 36}, {0.5, 0.5}};
        struct world world = world_make(&traffic, seed);

        world.noise = 0.03;
        world_run(&world, 10 * SECOND);
        assert_int_equal(world.situation.shape, DISPATCHER_TREE);
        traffic.costs[DISPATCHER_TREE] = 39;
        world_run(&world, 300 * SECOND);
        assert_int_equal(world.situation.shape, DISPATCHER_NONE);
    }
}

static void learns_anew_after_a_phase_change(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct world world = world_make(&traffic_constant_first, seed);

        world.noise = 0.005;
        world_run(&world, 3 * SECOND);
        world_enter(&world, &traffic_random_64);
        world_run(&world, 5 * SECOND); /* the calmest watch, and a trial */
        expect_best(&world);
        world_enter(&world, &traffic_constant_last);
        world_run(&world, 5 * SECOND);
        expect_best(&world);
        assert_int_equal(world.choice.hottest[0], 63);
        assert_true(world.choice.decided >= 3);
    }
}

/* The same targets, in another order: shares stay, costs do not. */
static void another_cost_is_another_traffic(void **state)
{
    struct traffic tidy = traffic_random_64;
    struct world world = world_make(&traffic_random_64, 7);

    (void)state;
    for (int shape = 0; shape < DISPATCHER_NONE; shape++) {
        tidy.costs[shape] = 5 + shape;
    }
    tidy.costs[DISPATCHER_NONE] = 12;
    world_run(&world, 3 * SECOND);
    world_enter(&world, &tidy);
    world_run(&world, 5 * SECOND);
    assert_true(has_decided_by(&world, DISPATCHER_REASON_TRAFFIC));
    expect_best(&world);
}

static void changed_programs_are_tried_soon(void **state)
{
    struct world world = world_make(&traffic_constant_first, 3);

    (void)state;
    world.noise = 0.005;
    world_run(&world, 30 * SECOND);
    world_enter(&world, &traffic_zipf_8);
    world_run(&world, SECOND / 2);
    assert_int_equal(last_decision(&world)->reason, DISPATCHER_REASON_PROGRAMS);
    assert_int_equal(last_decision(&world)->generation, 2);
    expect_best(&world);
}

/* In the middle of each trial the entries change: what was chosen stays, until one is let end. */
/* Updates share the change lock, and the halves, with trials. */
static void updates_in_a_row_meet_no_trial(void **state)
{
    struct world world = world_make(&traffic_random_4, 6);

    (void)state;
    for (unsigned update = 0; update < 100; update++) {
        world.situation.generation++;
        world_run(&world, SECOND / 20);
    }
    assert_int_equal(world.patches, 0);
    world_run(&world, SECOND);
    assert_true(world.choice.decided > 0);
    expect_best(&world);
}

static void programs_that_change_during_a_trial_end_it(void **state)
{
    struct world world = world_make(&traffic_random_4, 5);

    (void)state;
    world_run(&world, SECOND / 2);

    enum dispatcher_shape chosen = world.situation.shape;
    uint64_t decided = world.choice.decided;

    for (unsigned turn = 0; turn < 200; turn++) {
        world.situation.generation++;
        do {
            world_step(&world);
        } while (world.choice.state != DISPATCHER_CHOICE_TRYING || world.choice.round < 1 ||
                 world.choice.wish.shape == chosen);
        world.situation.generation++;
        dispatcher_choice_look(&world.choice, &world.situation);
        assert_int_equal(world.choice.wish.shape, chosen);
        assert_false(world.choice.wish.has_hottest);
    }
    assert_int_equal(world.choice.decided, decided);
    assert_true(world.choice.given_up >= 200);
    world_run(&world, SECOND + SECOND / 2);
    assert_int_equal(world.choice.decided, decided + 1);
    expect_best(&world);
}

/* Any input, any budget: patches, failed ones among them, are within it. */
static void budget_holds_whatever_happens(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct world world = world_make(traffics[seed % ARRAY_COUNT(traffics)], seed);
        uint32_t rate = seed % 60;
        uint64_t began = world.situation.now_ns;

        world.noise = 0.3;
        patch_budget_set(&world.budget, rate, began);
        for (unsigned turn = 0; turn < 20000; turn++) {
            uint64_t event = next_random(&world.random) % 100;

            if (event == 0) {
                world.situation.generation++;
            } else if (event < 3) {
                world_enter(&world, traffics[next_random(&world.random) % ARRAY_COUNT(traffics)]);
            } else if (event < 5) {
                world.is_silent = !world.is_silent;
            } else if (event < 7) {
                world.is_refused = !world.is_refused;
            }
            world_step(&world);

            uint64_t passed = world.situation.now_ns - began;
            uint32_t holds = rate == 1 ? 2 : rate;

            assert_true(world.patches <= holds + passed * rate / SECOND);
        }
        assert_true(rate == 0 ? world.patches == 0 : world.patches > 0);
    }
}

static void budget_is_not_saved_up(void **state)
{
    struct patch_budget budget;
    unsigned taken = 0;

    (void)state;
    patch_budget_set(&budget, 50, 0);
    while (taken < 1000 && patch_budget_when(&budget, 1, 1000 * SECOND) <= 1000 * SECOND) {
        patch_budget_take(&budget, 1000 * SECOND);
        taken++;
    }
    assert_int_equal(taken, 50);
    assert_int_equal(patch_budget_when(&budget, 1, 1000 * SECOND), 1000 * SECOND + SECOND / 50);
}

static void more_misses_are_other_traffic(void **state)
{
    const struct dispatcher_census few = {.calls = {900}, .misses = 100, .total = 1000};
    const struct dispatcher_census many = {.calls = {500}, .misses = 500, .total = 1000};

    (void)state;
    assert_true(dispatcher_census_differs(&few, &many));
    assert_false(dispatcher_census_differs(&few, &few));
}

static void without_traffic_it_waits_and_costs_nothing(void **state)
{
    struct world world = world_make(&traffic_robin_16, 1);

    (void)state;
    world.is_silent = true;
    world_run(&world, 10 * SECOND);
    assert_int_equal(world.patches, 1); /* the sampler, which waits */
    assert_int_equal(world.choice.state, DISPATCHER_CHOICE_WATCHING);
    world.is_silent = false;
    world_run(&world, SECOND / 2);
    expect_best(&world);
    world.is_silent = true;
    world_run(&world, 100 * SECOND);

    uint64_t patches = world.patches;

    world_run(&world, 100 * SECOND);
    assert_int_equal(world.patches, patches);
}

/* The CPU that was measured stops calling in the middle of a trial. */
static void silence_in_a_trial_brings_the_old_shape_back(void **state)
{
    struct world world = world_make(&traffic_robin_16, 1);

    (void)state;
    do {
        world_step(&world);
    } while (world.choice.round < 2);
    assert_int_equal(world.choice.wish.cpu, 1);
    world.is_silent = true;
    world_run(&world, SECOND);
    assert_int_equal(world.situation.shape, DISPATCHER_TREE);
    assert_int_equal(world.choice.wish.cpu, TRIAL_ANY_CPU);
    assert_int_equal(world.choice.decided, 0);
    world.is_silent = false;
    world_run(&world, SECOND);
    expect_best(&world);
}

static void refused_patches_end_a_trial_for_a_while(void **state)
{
    struct world world = world_make(&traffic_robin_16, 1);

    (void)state;
    do {
        world_step(&world);
    } while (world.choice.round < 2);
    world.is_refused = true;
    world_step(&world);
    world.is_refused = false;
    world_step(&world);
    assert_int_equal(world.situation.shape, DISPATCHER_TREE);
    assert_false(world.situation.is_sampled);

    uint64_t patches = world.patches;

    world_run(&world, SECOND);
    assert_int_equal(world.patches, patches);
    world_run(&world, 2 * SECOND);
    expect_best(&world);
}

static void without_entries_nothing_is_tried(void **state)
{
    static const struct traffic empty = {"no entries", 0, {34, 34, 34, 34, 34, 34, 34}, {0}};
    struct world world = world_make(&empty, 1);

    (void)state;
    world_run(&world, 10 * SECOND);
    assert_int_equal(world.patches, 0);
    assert_true(world.choice.next_ns == UINT64_MAX);
    world_enter(&world, &traffic_two);
    world_run(&world, SECOND);
    expect_best(&world);
}

static void off_means_off(void **state)
{
    struct world world = world_make(&traffic_two, 1);

    (void)state;
    world_run(&world, SECOND / 2);
    dispatcher_choice_switch(&world.choice, false, world.situation.now_ns);

    uint64_t patches = world.patches;

    world_enter(&world, &traffic_random_64);
    world_run(&world, 100 * SECOND);
    assert_int_equal(world.patches, patches);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(converges_to_the_best_shape),
    cmocka_unit_test(spoiled_epochs_do_not_decide),
    cmocka_unit_test(misses_need_no_trial),
    cmocka_unit_test(calls_that_cannot_be_timed_change_nothing),
    cmocka_unit_test(fickle_costs_make_trials_rare),
    cmocka_unit_test(steady_traffic_is_left_in_peace),
    cmocka_unit_test(never_worse_than_none_as_measured),
    cmocka_unit_test(routine_trials_are_shorter),
    cmocka_unit_test(shape_that_became_worse_than_none_is_left),
    cmocka_unit_test(learns_anew_after_a_phase_change),
    cmocka_unit_test(another_cost_is_another_traffic),
    cmocka_unit_test(changed_programs_are_tried_soon),
    cmocka_unit_test(updates_in_a_row_meet_no_trial),
    cmocka_unit_test(programs_that_change_during_a_trial_end_it),
    cmocka_unit_test(budget_holds_whatever_happens),
    cmocka_unit_test(budget_is_not_saved_up),
    cmocka_unit_test(more_misses_are_other_traffic),
    cmocka_unit_test(without_traffic_it_waits_and_costs_nothing),
    cmocka_unit_test(silence_in_a_trial_brings_the_old_shape_back),
    cmocka_unit_test(refused_patches_end_a_trial_for_a_while),
    cmocka_unit_test(without_entries_nothing_is_tried),
    cmocka_unit_test(off_means_off),
};

HOST_TEST_MAIN(tests, NULL)
