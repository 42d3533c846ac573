// SPDX-License-Identifier: MIT
/* The policy of dynamic calls over sequences of targets: what is learnt, how soon, at what price.
 * Why it detects: the world (choice_world.h) counts batches itself, knows the costs, and checks
 * each wish. Could miss: machines that predict otherwise than these. */
#include "tests/host/choice_world.h"
#include "tests/host/host_test.h"

enum { SEEDS = 2, MANY_CALLS = 4000 };

/* ---- What is learnt ---------------------------------------------------------------------------
 */

static void constant_target_is_learnt_in_two_epochs_and_one_change(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= DYNAMIC_SLOTS_MAX; slots++) {
        struct world world = world_make(world_sequence(SEQUENCE_CONSTANT, 1), slots, slots);

        while (!world.is_open) {
            world_step(&world);
        }
        assert_int_equal(world.epochs, DYNAMIC_AGREE + 1); /* one of them with the gate open */
        assert_int_equal(world.batches, 2);                /* the watch; slots and gate */
        assert_int_equal(world.slot_targets.slot[0], world_address(3));
        world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
        world_run(&world, 10 * MINUTE);
        assert_int_equal(world.batches, 2);
    }
}

static void another_target_is_learnt_in_three_epochs_and_two_batches(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= DYNAMIC_SLOTS_MAX; slots++) {
        struct world world = world_steady(world_sequence(SEQUENCE_CONSTANT, 1), slots, slots);

        for (uint32_t change = 1; change <= 8; change++) {
            uint64_t batches = world.batches;
            uint64_t epochs = world.epochs;

            world.sequence.first += 2;
            while (world.slot_targets.slot[0] != world_address(3 + 2 * change)) {
                world_step(&world);
                assert_true(world.epochs - epochs <= 4);
            }
            assert_int_equal(world.epochs - epochs, 4); /* the fourth is the first that hits */
            assert_int_equal(world.batches - batches, 2);
            world_run(&world, 10 * SECOND);
            assert_int_equal(world.batches - batches, 2);
        }
    }
}

static const struct steady {
    enum sequence_kind kind;
    uint32_t targets, slots;
    enum dynamic_state ends;
} steadies[] = {
    {SEQUENCE_CONSTANT, 1, 2, DYNAMIC_STABLE}, {SEQUENCE_BURSTS, 2, 2, DYNAMIC_STABLE},
    {SEQUENCE_BURSTS, 4, 4, DYNAMIC_STABLE},   {SEQUENCE_ROBIN, 2, 2, DYNAMIC_STABLE},
    {SEQUENCE_ROBIN, 4, 4, DYNAMIC_STABLE},    {SEQUENCE_ROBIN, 2, 4, DYNAMIC_STABLE},
    {SEQUENCE_ROBIN, 8, 4, DYNAMIC_STABLE},    {SEQUENCE_ROBIN, 8, 2, DYNAMIC_RESTING},
    {SEQUENCE_ZIPF, 4, 2, DYNAMIC_STABLE},     {SEQUENCE_ZIPF, 8, 4, DYNAMIC_STABLE},
    {SEQUENCE_RANDOM, 8, 1, DYNAMIC_RESTING},  {SEQUENCE_RANDOM, 8, 2, DYNAMIC_RESTING},
    {SEQUENCE_RANDOM, 8, 4, DYNAMIC_RESTING},  {SEQUENCE_RANDOM, 40, 4, DYNAMIC_RESTING},
};

/* The bar: no update at all; but for one who rests a look now and then. */
static void steady_traffic_is_left_in_peace(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(steadies) * SEEDS; i++) {
        const struct steady *steady = &steadies[i / SEEDS];
        struct world world =
            world_make(world_sequence(steady->kind, steady->targets), steady->slots, i % SEEDS);

        world.calls = MANY_CALLS;
        world_run(&world, 40 * SECOND);

        uint64_t batches = world.batches;
        uint64_t changes = world.changes;

        world_run(&world, MINUTE);
        if (world.changes != changes || world.batches - batches > 4) {
            fail_msg("kind %d of %u, %u slots, seed %u: %llu batches", steady->kind,
                     steady->targets, steady->slots, i % SEEDS,
                     (unsigned long long)(world.batches - batches));
        }
        if (steady->ends == DYNAMIC_STABLE) {
            assert_int_equal(world.choice.state, DYNAMIC_STABLE);
            assert_int_equal(world.batches, batches);
        } else {
            assert_false(world.is_open);
        }
    }
}

/* By the costs that the world knows. */
static void gate_opens_where_the_chain_is_cheaper_and_nowhere_else(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(steadies); i++) {
        struct world world = world_steady(world_sequence(steadies[i].kind, steadies[i].targets),
                                          steadies[i].slots, i);
        double slow = world_cost(&world, false);

        if (world.is_open) {
            assert_true(world_cost(&world, true) < slow);
        } else {
            assert_true(world_cost(&world, true) > 0.93 * slow);
        }
    }
}

static void phases_that_are_shorter_than_epochs_rest(void **state)
{
    struct sequence sequence = world_sequence(SEQUENCE_CONSTANT, 1);

    (void)state;
    sequence.phase_calls = 2000; /* each epoch another target */
    struct world world = world_make(sequence, 2, 1);

    world_run(&world, 10 * SECOND);
    assert_false(world.is_open);
    assert_int_equal(world.changes, 0);
    assert_true(world_decided_by(&world, DYNAMIC_REASON_UNPREDICTABLE) >= 2);
}

/* A second each: both are learnt once, if there is room for both. */
static void two_targets_in_turns_are_learnt_once(void **state)
{
    (void)state;
    for (uint32_t slots = 2; slots <= DYNAMIC_SLOTS_MAX; slots++) {
        struct world world = world_make(world_sequence(SEQUENCE_CONSTANT, 1), slots, slots);

        for (unsigned turn = 0; turn < 100; turn++) {
            world.sequence.first = 3 + turn % 2;
            world_run(&world, SECOND);
        }
        assert_int_equal(world.changes, 2);
        assert_int_equal(world.batches, 4);
        assert_true(world_has(&world, 3) && world_has(&world, 4));
    }
}

static void unstable_call_is_changed_ever_more_seldom(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_CONSTANT, 1), 1, 1);
    uint64_t changes = 0;

    (void)state;
    for (unsigned turn = 0; turn < 1200; turn++) {
        changes = turn == 600 ? world.changes : changes;
        world.sequence.first = 3 + turn % 2;
        world_run(&world, SECOND);
    }
    assert_true(changes <= 20);
    assert_true(world.changes - changes <= 11);
    assert_true(world.changes - changes >= 5); /* but it is looked after */
}

static void calm_lets_alarms_be_heard_again(void **state)
{
    struct world world = world_steady(world_sequence(SEQUENCE_CONSTANT, 1), 1, 1);

    (void)state;
    for (unsigned turn = 0; turn < 30; turn++) {
        world.sequence.first = 3 + turn % 2;
        world_run(&world, SECOND);
    }
    assert_true(world.choice.hold_ns >= 4 * SECOND);
    world_run(&world, 40 * MINUTE);
    assert_int_equal(world.choice.hold_ns, 0);

    uint64_t epochs = world.epochs;

    world.sequence.first = 9;
    while (!world_has(&world, 9)) {
        world_step(&world);
    }
    assert_int_equal(world.epochs - epochs, 4);
}

/* ---- Few calls --------------------------------------------------------------------------------
 */

static void few_calls_cost_nothing_until_more_come(void **state)
{
    static const uint32_t few[] = {0, 1, 10, 100};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(few); i++) {
        struct world world = world_make(world_sequence(SEQUENCE_CONSTANT, 1), 2, 1);

        world.calls = few[i];
        world_run(&world, 5 * MINUTE);
        world_expect(&world, DYNAMIC_RESTING, DYNAMIC_REASON_FEW_CALLS);
        assert_int_equal(world.batches, 1); /* the watch */
        assert_int_equal(world.choice.decided, 1);
        world.calls = 2000;
        world_run(&world, SECOND);
        world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
        assert_int_equal(world.batches, 2);
    }
}

/* It is the price that decides: what a change costs, against what calls save in 10 s. */
static void change_that_would_not_pay_is_not_made(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_CONSTANT, 1), 2, 1);

    (void)state;
    world.change_ns = 2000 * 100 * 76 / 10; /* a call saves 30 ticks of 250 ps: 75, not 76 */
    world_run(&world, 10 * SECOND);
    world_expect(&world, DYNAMIC_RESTING, DYNAMIC_REASON_FEW_CALLS);
    world.change_ns = world.change_ns / 76 * 74;
    world_run(&world, SECOND);
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_HOT);
}

/* So many targets that those in the slots would not pay, though all together would. */
static void thinly_spread_calls_rest(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_RANDOM, 16), 1, 1);

    (void)state;
    world.change_ns = 2000 * 100 * 5 / 2; /* a third of what all calls would save */
    world_run(&world, 2 * DYNAMIC_EPOCH_NS);
    world_expect(&world, DYNAMIC_RESTING, DYNAMIC_REASON_UNPREDICTABLE);
    assert_int_equal(world.changes, 0);
}

/* ---- Trials -----------------------------------------------------------------------------------
 */

static void shares_decide_where_no_clock_does(void **state)
{
    (void)state;
    for (uint32_t slots = 1; slots <= DYNAMIC_SLOTS_MAX; slots++) {
        struct world world = world_make(world_sequence(SEQUENCE_ROBIN, 4), slots, slots);

        world.is_untimed = true;
        world_run(&world, 5 * SECOND);
        assert_int_equal(world.is_open, slots >= 3);
        if (world.is_open) {
            world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_SHARES);
        }
    }
}

static struct world trying_world(uint64_t seed)
{
    struct world world = world_make(world_sequence(SEQUENCE_ROBIN, 4), 4, seed);

    while (world.choice.state != DYNAMIC_TRYING || world.choice.round < 2) {
        world_step(&world);
    }
    return world;
}

static void trial_without_calls_is_given_up_for_a_while(void **state)
{
    struct world world = trying_world(1);
    uint64_t batches = world.batches;

    (void)state;
    world.calls = 0;
    for (unsigned step = 0; step < 19; step++) {
        world_step(&world);
        assert_int_equal(world.choice.state, DYNAMIC_TRYING);
    }
    world_step(&world);
    world_expect(&world, DYNAMIC_RESTING, DYNAMIC_REASON_FEW_CALLS);
    world.calls = 2000;
    world_run(&world, SECOND / 2);
    assert_int_equal(world.choice.state, DYNAMIC_RESTING);
    assert_int_equal(world.batches, batches); /* nothing has changed so far */
    world_run(&world, 2 * SECOND);
    world_expect(&world, DYNAMIC_STABLE, DYNAMIC_REASON_CHEAPER);
    assert_int_equal(world.batches, batches + 1);
}

/* One call in six turns is silent: the turns are made up for. */
static void empty_epochs_do_not_count_as_cheap(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_RANDOM, 8), 2, 3);

    (void)state;
    for (unsigned step = 0; step < 300; step++) {
        world.calls = step % 6 == 0 && world.choice.state == DYNAMIC_TRYING ? 0 : 2000;
        world_step(&world);
        assert_false(world.is_open);
    }
}

static void hopeless_chain_is_not_timed_to_the_end(void **state)
{
    struct world world = world_make(world_sequence(SEQUENCE_RANDOM, 8), 1, 1);
    uint32_t rounds = 0;

    (void)state;
    world.calls = MANY_CALLS;
    while (world.choice.state != DYNAMIC_RESTING) {
        world_step(&world);
        rounds = world.choice.round;
    }
    assert_true(rounds >= 2 && rounds <= DYNAMIC_TRIAL_ROUNDS);
    assert_true(world_decision(&world)->costs[DYNAMIC_WAY_SLOW] != 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(constant_target_is_learnt_in_two_epochs_and_one_change),
    cmocka_unit_test(another_target_is_learnt_in_three_epochs_and_two_batches),
    cmocka_unit_test(steady_traffic_is_left_in_peace),
    cmocka_unit_test(gate_opens_where_the_chain_is_cheaper_and_nowhere_else),
    cmocka_unit_test(phases_that_are_shorter_than_epochs_rest),
    cmocka_unit_test(two_targets_in_turns_are_learnt_once),
    cmocka_unit_test(unstable_call_is_changed_ever_more_seldom),
    cmocka_unit_test(calm_lets_alarms_be_heard_again),
    cmocka_unit_test(few_calls_cost_nothing_until_more_come),
    cmocka_unit_test(change_that_would_not_pay_is_not_made),
    cmocka_unit_test(thinly_spread_calls_rest),
    cmocka_unit_test(shares_decide_where_no_clock_does),
    cmocka_unit_test(trial_without_calls_is_given_up_for_a_while),
    cmocka_unit_test(empty_epochs_do_not_count_as_cheap),
    cmocka_unit_test(hopeless_chain_is_not_timed_to_the_end),
};

HOST_TEST_MAIN(tests, NULL)
