// SPDX-License-Identifier: MIT
/* Properties of the policy of dynamic calls, over thousands of random worlds; a world that fails
 * says its seed. Why it detects: nothing is expected of one world alone, so that no answer is
 * written down; choice_world.c checks each wish. Could miss: what takes longer than a minute.
 * DYNAMIC_WORLDS=100000 plays more of them. */
#include "tests/host/choice_world.h"
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

enum { WORLDS = 1000, TWINS = 100, FIRST_MOST = 40, EVENTS = 9 };

static uint64_t failing_seed;

static uint64_t worlds(void)
{
    const char *wanted = getenv("DYNAMIC_WORLDS");

    return wanted != NULL ? strtoull(wanted, NULL, 10) : WORLDS;
}

/* An assertion of the world's does not know the seed. */
static int seed_tell(void **state)
{
    (void)state;
    if (failing_seed != 0) {
        print_error("seed %llu\n", (unsigned long long)failing_seed);
    }
    return 0;
}

static uint32_t below(uint64_t *random, uint32_t limit)
{
    return (uint32_t)(next_random(random) >> 20) % limit;
}

static struct sequence any_sequence(uint64_t *random)
{
    return (struct sequence){
        .kind = below(random, SEQUENCE_KINDS),
        .targets = 1 + below(random, below(random, 2) != 0 ? 5 : 20),
        .first = 1 + below(random, FIRST_MOST),
        .share = 500 + below(random, 500),
    };
}

static struct world any_world(uint64_t seed)
{
    uint64_t random = seed * 2654435761u + 1;
    struct sequence sequence;

    for (int i = 0; i < 8; i++) {
        next_random(&random);
    }
    sequence = any_sequence(&random);
    struct world world = world_make(sequence, 1 + below(&random, DYNAMIC_SLOTS_MAX), seed);

    world.calls = 1u << below(&random, 12);
    world.noise = 0.002 * below(&random, 50);
    world.change_ns = BATCH_NS * below(&random, 20);
    world.is_untimed = below(&random, 8) == 0;
    failing_seed = seed;
    return world;
}

/* Steady, whatever it is: in the second half no slot changes, but where no slot pays, and it was
 * looked whether one does by now; and the gate neither opens nor closes more than once. */
static void steady_calls_never_oscillate(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= worlds(); seed++) {
        struct world world = any_world(seed);

        world_run(&world, 20 * SECOND);

        bool was_stable = world.choice.state == DYNAMIC_STABLE;
        uint64_t batches = world.batches;
        uint64_t changes = world.changes;
        uint64_t decided = world.choice.decided;

        world_run(&world, 20 * SECOND);
        bool is_constant = world.sequence.kind == SEQUENCE_CONSTANT || world.sequence.targets == 1;

        if (is_constant || world.sequence.kind == SEQUENCE_ROBIN) {
            assert_int_equal(world.changes, changes);
        }
        if (is_constant || (was_stable && world.sequence.kind != SEQUENCE_BURSTS)) {
            assert_int_equal(world.batches, batches);
        }
        assert_true(world.batches - batches <= 8);
        assert_true(world.choice.decided - decided <= 5);
    }
    failing_seed = 0;
}

static void event(struct world *world, uint64_t *random)
{
    switch (below(random, EVENTS)) {
    case 0:
    case 1:
        world->sequence = any_sequence(random);
        break;
    case 2:
        world->sequence.first = 1 + below(random, FIRST_MOST);
        break;
    case 3:
        world->calls = below(random, 3) == 0 ? 0 : 1u << below(random, 12);
        break;
    case 4:
        world->is_untimed = !world->is_untimed;
        break;
    case 5:
        world->is_refused = below(random, 4) == 0;
        break;
    case 6:
        world_forget(world, 1 + below(random, FIRST_MOST + 20));
        break;
    case 7:
        world->noise = 0.01 * below(random, 100);
        break;
    default:
        world->change_ns = BATCH_NS * below(random, 100);
        break;
    }
}

/* Whatever happens, and however often: batches are bounded, by time and by what happened. */
static void batches_are_bounded_whatever_happens(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= worlds(); seed++) {
        struct world world = any_world(seed);
        uint64_t began_ns = world.now_ns;
        uint64_t random = seed * 7919 + 1;
        uint32_t often = 1 + below(&random, 100);

        for (unsigned step = 0; step < 500; step++) {
            if (below(&random, often) == 0) {
                event(&world, &random);
            }
            world_step(&world);
        }
        uint64_t seconds = (world.now_ns - began_ns) / SECOND;

        if (world.batches - world.forgotten > 20 + 3 * seconds / 2) {
            fail_msg("%llu batches in %llu s", (unsigned long long)world.batches,
                     (unsigned long long)seconds);
        }
    }
    failing_seed = 0;
}

static void same_input_gives_the_same_answers(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= TWINS; seed++) {
        struct world twins[2] = {any_world(seed), any_world(seed)};

        for (unsigned step = 0; step < 200; step++) {
            for (unsigned i = 0; i < 2; i++) {
                uint64_t random = seed + step * 17;

                if (step % 10 == 0) {
                    event(&twins[i], &random);
                }
                world_step(&twins[i]);
            }
            assert_memory_equal(&twins[0], &twins[1], sizeof(twins[0]));
        }
    }
    failing_seed = 0;
}

/* Counts that no machine makes: no answer is right, but none is to be undefined. */
static void absurd_numbers_do_no_harm(void **state)
{
    static const uint64_t absurd[] = {0, 1, 1ull << 32, 1ull << 40, UINT64_MAX / 2, UINT64_MAX};
    uint64_t random = 88172645463325252ull;

    (void)state;
    for (unsigned turn = 0; turn < 2000; turn++) {
        struct dynamic_choice choice = {.state = DYNAMIC_OFF};
        uint64_t now_ns = below(&random, 1000);

        dynamic_choice_switch(&choice, true, below(&random, 8), now_ns);
        for (unsigned step = 0; step < 60; step++) {
            struct dynamic_epoch epoch = {.length_ns = absurd[below(&random, 6)]};
            const struct dynamic_terms terms = {absurd[below(&random, 6)],
                                                absurd[below(&random, 6)], world_ticks_to_ns};

            dynamic_choice_formed(&choice, below(&random, 3), absurd[below(&random, 6)], now_ns);
            now_ns = choice.next_ns + below(&random, 1000);
            epoch.now_ns = now_ns;
            epoch.cost = absurd[below(&random, 4)];
            epoch.overhead = absurd[below(&random, 4)];
            epoch.census.row_count = below(&random, DYNAMIC_CENSUS_ROWS + 1);
            for (uint32_t i = 0; i < epoch.census.row_count; i++) {
                epoch.census.rows[i].target = world_address(1 + below(&random, 4));
                epoch.census.rows[i].calls = absurd[below(&random, 6)];
            }
            epoch.census.others = absurd[below(&random, 6)];
            epoch.census.total = absurd[below(&random, 6)];
            dynamic_choice_measured(&choice, &terms, &epoch);
            for (uint32_t i = 1; i < DYNAMIC_SLOTS_MAX; i++) {
                assert_true(choice.wish.targets.slot[i] == 0 ||
                            choice.wish.targets.slot[i] != choice.wish.targets.slot[i - 1]);
            }
            assert_true(choice.next_ns > now_ns);
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_teardown(steady_calls_never_oscillate, seed_tell),
    cmocka_unit_test_teardown(batches_are_bounded_whatever_happens, seed_tell),
    cmocka_unit_test_teardown(same_input_gives_the_same_answers, seed_tell),
    cmocka_unit_test(absurd_numbers_do_no_harm),
};

HOST_TEST_MAIN(tests, NULL)
