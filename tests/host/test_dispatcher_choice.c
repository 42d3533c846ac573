// SPDX-License-Identifier: MIT
/* The policy of dispatchers, against worlds made of numbers: what each shape costs, how noisy
 * measuring is, who is called. Why it detects: the world knows the true costs, and counts patches
 * itself. Could miss: noise of another form than these. */
#include "patching/dispatcher_budget.h"
#include "patching/dispatcher_choice.h"
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

#define MILLISECOND 1000000ull
#define SECOND      1000000000ull

enum {
    RECORDER_TICKS = 36, /* in each gap */
    EPOCH_NS = 300000,   /* full buffers */
    SEEDS = 40,
};

/* Costs in ticks, from the silicon column of the project's reference figures and worked out from
 * them: tree, tree4, linear, linear-cold, hot1, hot2, none. */
struct traffic {
    const char *name;
    uint32_t entries;
    double costs[DISPATCHER_SHAPE_COUNT];
    double shares[DISPATCHER_ENTRY_MAX]; /* of calls; the rest are misses */
};

static const struct traffic constant_first = {
    "constant first, 64", 64, {4.2, 4.2, 4, 26, 4, 4.5, 34}, {1.0}};
static const struct traffic constant_last = {
    "constant last, 64", 64, {7.4, 6.9, 4, 26, 4, 4.5, 34}, {[63] = 1.0}};
static const struct traffic robin_16 = {"round robin, 16",
                                        16,
                                        {7.6, 7, 9.7, 9.7, 34, 33, 38},
                                        {1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0,
                                         1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0,
                                         1 / 16.0, 1 / 16.0, 1 / 16.0, 1 / 16.0}};
static const struct traffic burst_16 = {
    "bursts, 16", 16, {9.8, 9.3, 9.4, 12, 30, 28, 38}, {0.95, 0.05}};
static const struct traffic zipf_8 = {
    "Zipf, 8", 8, {34, 31, 35, 27, 33, 33, 34}, {0.37, 0.18, 0.12, 0.09, 0.07, 0.06, 0.06, 0.05}};
static const struct traffic random_4 = {
    "random, 4", 4, {33, 28, 28, 28, 33, 30, 34}, {0.25, 0.25, 0.25, 0.25}};
static const struct traffic random_64 = {
    "random, 64", 64, {81, 70, 51, 51, 36, 37, 34}, {0.3, 0.3, 0.3, 0.1}};
static const struct traffic all_miss = {"misses, 64", 64, {12, 12, 60, 60, 35, 36, 34}, {0}};
static const struct traffic one = {"one", 1, {4, 4, 4, 4, 4, 4, 34}, {1.0}};
static const struct traffic two = {"two", 2, {7, 5, 5, 5.2, 20, 5, 34}, {0.5, 0.5}};

static const struct traffic *const traffics[] = {
    &constant_first, &constant_last, &robin_16, &burst_16, &zipf_8,
    &random_4,       &random_64,     &all_miss, &one,      &two,
};

struct world {
    struct dispatcher_choice choice;
    struct dispatcher_budget budget;
    struct dispatcher_situation situation;
    const struct traffic *traffic;
    double noise;    /* each epoch is off by up to this share, either way */
    double spikes;   /* share of epochs that take twice as long */
    bool is_silent;  /* nobody calls */
    bool is_refused; /* no patch succeeds */
    uint64_t random;
    uint64_t patches, epochs;
};

static double fraction(struct world *world)
{
    return (double)(next_random(&world->random) >> 11) / (double)(1ull << 53);
}

static struct world world_make(const struct traffic *traffic, uint64_t seed)
{
    struct world world = {
        .situation = {.now_ns = SECOND, .entries = traffic->entries, .generation = 1},
        .traffic = traffic,
        .random = seed * 2 + 1,
    };

    for (int i = 0; i < 8; i++) {
        next_random(&world.random);
    }
    dispatcher_budget_set(&world.budget, 50, SECOND);
    dispatcher_choice_switch(&world.choice, true, SECOND);
    return world;
}

static void world_enter(struct world *world, const struct traffic *traffic)
{
    world->traffic = traffic;
    if (world->situation.entries != traffic->entries) {
        world->situation.entries = traffic->entries;
        world->situation.generation++;
    }
}

static double true_cost(const struct world *world, enum dispatcher_shape shape)
{
    return world->traffic->costs[shape];
}

static struct dispatcher_epoch epoch_make(struct world *world)
{
    double off = 1 + world->noise * (2 * fraction(world) - 1);
    struct dispatcher_epoch epoch = {.cpu = 1, .overhead = RECORDER_TICKS * TRIAL_COST_UNIT};

    if (world->is_silent) {
        return epoch;
    }
    off *= fraction(world) < world->spikes ? 2 : 1;
    epoch.cost = (uint64_t)((RECORDER_TICKS + true_cost(world, world->situation.shape)) * off *
                            TRIAL_COST_UNIT);
    epoch.census.total = TRIAL_SAMPLES;
    for (uint32_t i = 0; i < TRIAL_SAMPLES; i++) {
        double at = fraction(world);
        uint32_t entry = 0;

        while (entry < world->traffic->entries && at >= world->traffic->shares[entry]) {
            at -= world->traffic->shares[entry++];
        }
        epoch.census.calls[entry % DISPATCHER_ENTRY_MAX] += entry < world->traffic->entries;
        epoch.census.misses += entry == world->traffic->entries;
    }
    return epoch;
}

/* Brings the dispatcher to the wish, if the budget allows. */
static bool world_form(struct world *world)
{
    struct dispatcher_choice *choice = &world->choice;
    struct dispatcher_situation *now = &world->situation;

    if (dispatcher_budget_when(&world->budget, choice->wish.is_sampled ? 2 : 1, now->now_ns) >
        now->now_ns) {
        return false;
    }
    dispatcher_budget_take(&world->budget, now->now_ns);
    world->patches++;
    if (world->is_refused) {
        dispatcher_choice_refused(choice, now->now_ns);
        return false;
    }
    now->shape = choice->wish.shape;
    now->is_sampled = choice->wish.is_sampled;
    dispatcher_choice_formed(choice, true);
    return true;
}

static void world_step(struct world *world)
{
    struct dispatcher_choice *choice = &world->choice;
    struct dispatcher_situation *now = &world->situation;

    now->now_ns += world->is_silent ? 100 * EPOCH_NS : EPOCH_NS;
    dispatcher_choice_look(choice, now);
    if (dispatcher_choice_wants_patch(choice, now) && !world_form(world)) {
        return;
    }
    if (choice->wish.is_sampled && choice->state != DISPATCHER_CHOICE_OFF) {
        struct dispatcher_epoch epoch = epoch_make(world);

        world->epochs++;
        dispatcher_choice_measured(choice, now, &epoch);
    }
}

static void world_run(struct world *world, uint64_t ns)
{
    uint64_t end = world->situation.now_ns + ns;

    while (world->situation.now_ns < end) {
        world_step(world);
        if (!world->situation.is_sampled && world->choice.next_ns > world->situation.now_ns) {
            uint64_t next = world->choice.next_ns - 1;

            world->situation.now_ns = next < end ? next : end;
        }
    }
}

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

static double best_cost(const struct traffic *traffic)
{
    double best = traffic->costs[0];

    for (int shape = 1; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        best = traffic->costs[shape] < best ? traffic->costs[shape] : best;
    }
    return best;
}

/* That it ends within a tenth of the best, at rest, whatever it began with. */
static void expect_best(const struct world *world)
{
    double is = true_cost(world, world->situation.shape);
    double best = best_cost(world->traffic);

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
            assert_true(true_cost(&world, world.situation.shape) <=
                        best_cost(traffics[i]) + 0.15 * RECORDER_TICKS);
        }
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
            traffic.costs[shape] = 30 + 10 * fraction(&world);
        }
        world.noise = 0.1 * fraction(&world);
        world.situation.shape = seed % DISPATCHER_SHAPE_COUNT;
        world_run(&world, SECOND);

        const struct dispatcher_decision *decision = last_decision(&world);

        assert_true(decision->costs[DISPATCHER_NONE] != 0);
        assert_true((double)decision->costs[decision->after] <=
                    1.05 * (double)decision->costs[DISPATCHER_NONE]);
    }
}

static void learns_anew_after_a_phase_change(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        struct world world = world_make(&constant_first, seed);

        world.noise = 0.005;
        world_run(&world, 3 * SECOND);
        world_enter(&world, &random_64);
        world_run(&world, 5 * SECOND); /* the calmest watch, and a trial */
        expect_best(&world);
        world_enter(&world, &constant_last);
        world_run(&world, 5 * SECOND);
        expect_best(&world);
        assert_int_equal(world.choice.hottest[0], 63);
        assert_true(world.choice.decided >= 3);
    }
}

/* The same targets, in another order: shares stay, costs do not. */
static void another_cost_is_another_traffic(void **state)
{
    struct traffic tidy = random_64;
    struct world world = world_make(&random_64, 7);

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

static void changed_programs_are_tried_at_once(void **state)
{
    struct world world = world_make(&constant_first, 3);

    (void)state;
    world.noise = 0.005;
    world_run(&world, 30 * SECOND);
    world_enter(&world, &zipf_8);
    world_run(&world, SECOND / 2);
    assert_int_equal(last_decision(&world)->reason, DISPATCHER_REASON_PROGRAMS);
    assert_int_equal(last_decision(&world)->generation, 2);
    expect_best(&world);
}

/* In the middle of each trial the entries change: what was chosen stays, until one is let end. */
static void programs_that_change_during_a_trial_end_it(void **state)
{
    struct world world = world_make(&random_4, 5);

    (void)state;
    world_run(&world, SECOND / 2);

    enum dispatcher_shape chosen = world.situation.shape;
    uint64_t decided = world.choice.decided;

    for (unsigned turn = 0; turn < 200; turn++) {
        world.situation.generation++;
        do {
            world_step(&world);
        } while (world.choice.state != DISPATCHER_CHOICE_TRYING || world.choice.round < 1);
        world.situation.generation++;
        dispatcher_choice_look(&world.choice, &world.situation);
        assert_int_equal(world.choice.wish.shape, chosen);
        assert_false(world.choice.wish.has_hottest);
    }
    assert_int_equal(world.choice.decided, decided);
    assert_true(world.choice.given_up >= 200);
    world_run(&world, SECOND);
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
        dispatcher_budget_set(&world.budget, rate, began);
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

static void without_traffic_it_waits_and_costs_nothing(void **state)
{
    struct world world = world_make(&robin_16, 1);

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
    struct world world = world_make(&robin_16, 1);

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
    struct world world = world_make(&robin_16, 1);

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
    world_enter(&world, &two);
    world_run(&world, SECOND);
    expect_best(&world);
}

static void off_means_off(void **state)
{
    struct world world = world_make(&two, 1);

    (void)state;
    world_run(&world, SECOND / 2);
    dispatcher_choice_switch(&world.choice, false, world.situation.now_ns);

    uint64_t patches = world.patches;

    world_enter(&world, &random_64);
    world_run(&world, 100 * SECOND);
    assert_int_equal(world.patches, patches);
}

/* What is the same code is tried once; dispatcher_image_generate() says whether it is. */
static void only_shapes_of_the_same_code_are_canonically_the_same(void **state)
{
    static uint8_t code[2][DISPATCHER_HALF_BYTES];
    uint64_t targets[DISPATCHER_ENTRY_MAX];
    uint8_t hottest[DISPATCHER_ENTRY_MAX];

    (void)state;
    for (uint32_t i = 0; i < DISPATCHER_ENTRY_MAX; i++) {
        targets[i] = 0x500000 + i * 64;
        hottest[i] = (uint8_t)(i ^ 1);
    }
    for (uint32_t entries = 2; entries <= 8; entries += 2) {
        for (int pair = 0; pair < DISPATCHER_SHAPE_COUNT * DISPATCHER_SHAPE_COUNT; pair++) {
            enum dispatcher_shape shapes[] = {pair % DISPATCHER_SHAPE_COUNT,
                                              pair / DISPATCHER_SHAPE_COUNT};
            size_t lengths[2];

            for (int i = 0; i < 2; i++) {
                struct dispatcher_image_request request = {shapes[i], entries, 0x400000,
                                                           0x480000,  targets, hottest};

                assert_int_equal(dispatcher_image_generate(&request, code[i], &lengths[i], NULL),
                                 PATCH_OK);
            }
            bool is_same = lengths[0] == lengths[1] && memcmp(code[0], code[1], lengths[0]) == 0;

            assert_int_equal(is_same, dispatcher_shape_canonical(shapes[0], entries) ==
                                          dispatcher_shape_canonical(shapes[1], entries));
        }
    }
}

static void census_tells_other_traffic_from_chance(void **state)
{
    (void)state;
    for (unsigned seed = 0; seed < SEEDS; seed++) {
        for (unsigned i = 0; i < ARRAY_COUNT(traffics); i++) {
            struct world world = world_make(traffics[i], seed);
            struct dispatcher_epoch a = epoch_make(&world);
            struct dispatcher_epoch b = epoch_make(&world);

            assert_false(dispatcher_census_differs(&a.census, &b.census));
            world.traffic = traffics[i] == &all_miss ? &constant_first : &all_miss;
            b = epoch_make(&world);
            assert_true(dispatcher_census_differs(&a.census, &b.census));
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(converges_to_the_best_shape),
    cmocka_unit_test(spoiled_epochs_do_not_decide),
    cmocka_unit_test(steady_traffic_is_left_in_peace),
    cmocka_unit_test(never_worse_than_none_as_measured),
    cmocka_unit_test(learns_anew_after_a_phase_change),
    cmocka_unit_test(another_cost_is_another_traffic),
    cmocka_unit_test(changed_programs_are_tried_at_once),
    cmocka_unit_test(programs_that_change_during_a_trial_end_it),
    cmocka_unit_test(budget_holds_whatever_happens),
    cmocka_unit_test(without_traffic_it_waits_and_costs_nothing),
    cmocka_unit_test(silence_in_a_trial_brings_the_old_shape_back),
    cmocka_unit_test(refused_patches_end_a_trial_for_a_while),
    cmocka_unit_test(without_entries_nothing_is_tried),
    cmocka_unit_test(off_means_off),
    cmocka_unit_test(only_shapes_of_the_same_code_are_canonically_the_same),
    cmocka_unit_test(census_tells_other_traffic_from_chance),
};

HOST_TEST_MAIN(tests, NULL)
