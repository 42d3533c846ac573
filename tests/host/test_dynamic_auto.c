// SPDX-License-Identifier: MIT
/* Automatic learning of dynamic calls, over the recorder. Why it detects: what runs is the code
 * itself, so that a call which goes astray is seen, and every batch, round and IPI is one that the
 * recorder has counted; what pays is what the test's processor says. Could miss: what a real
 * processor or a race makes of it (test_live_dynamic_call). */
#include "tests/host/dynamic_world.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

static void constant_target_is_learnt_in_two_epochs(void **state)
{
    (void)state;
    world_switch(true);
    world_run(MILLISECOND);
    world_expect(DYNAMIC_LEARNING, "..", false, true);
    world_run(2 * DYNAMIC_EPOCH_NS);
    world_expect(DYNAMIC_LEARNING, "..", false, true);
    world_run(5 * MILLISECOND);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
    assert_int_equal(world_last_decision().reason, DYNAMIC_REASON_HOT);
    assert_int_equal(world_look().epochs, 2);
    assert_int_equal(world_statistics().batches, 2); /* watch on; slot and gate */
    assert_int_equal(world_statistics().grace_periods, 0);
    assert_int_equal(world_statistics().changes, 1);
}

/* What the decision says it cost is what the recorder counted. */
static void cost_of_a_decision_is_that_of_its_batches(void **state)
{
    struct dynamic_decision decision;

    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    decision = world_last_decision();
    assert_int_equal(decision.sequence, 1);
    assert_int_equal(decision.cost_ns, world_statistics().cost_ns);
    assert_int_equal(decision.batches, world_statistics().batches);
    assert_int_equal(world_statistics().rounds, recorder.rounds);
    assert_int_equal(world_statistics().ipis, recorder.rounds * (recorder.cpus - 1));
    assert_int_equal(decision.break_even_calls != 0, 1);
    assert_false(dynamic_auto_decision(world.subject->call, 2, &decision));
    assert_false(dynamic_auto_decision(world.subject->call, 0, &decision));
}

/* A new one begins. */
static void run_until_epoch(void)
{
    uint64_t epochs = world_look().epochs;

    while (world_look().epochs == epochs) {
        world_run(MILLISECOND);
    }
}

static void another_target_is_learnt_in_three_epochs_and_two_batches(void **state)
{
    struct dynamic_call_statistics before;
    uint64_t epochs;
    unsigned rounds;

    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_run(10 * DYNAMIC_EPOCH_NS);
    run_until_epoch();
    before = world_statistics();
    epochs = world_look().epochs;
    rounds = recorder.rounds;
    world.target = always_second;
    world_run_until(DYNAMIC_LEARNING);
    world_run_until(DYNAMIC_STABLE);
    world_expect(DYNAMIC_STABLE, "ba", true, true);
    assert_in_range(world_look().epochs - epochs, 1, 3);
    assert_int_equal(world_statistics().batches - before.batches, 2);
    assert_int_equal(world_statistics().grace_periods - before.grace_periods, 1);
    assert_int_equal(world_statistics().rounds - before.rounds, recorder.rounds - rounds);
    assert_int_equal(world_statistics().ipis - before.ipis,
                     (recorder.rounds - rounds) * (recorder.cpus - 1));
    world_run(SECOND);
    assert_int_equal(world_statistics().changes - before.changes, 1);
}

/* Seed 1: while text changes every call goes the slow way, is counted there, and is a reason to
 * change again. Here calls come while the batch waits for its turn, and in the grace period. */
static void call_meanwhile(void)
{
    for (unsigned i = 0; i < 3000; i++) {
        dynamics_run(world.subject, BY_CALL, i % 3);
    }
}

static void steady_calls_cost_no_update_and_no_ipi(void **state)
{
    (void)state;
    recorder.on_lock = call_meanwhile;
    recorder.on_synchronize = call_meanwhile;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_expect_silence(30 * SECOND);
    world.target = always_second;
    world_run_until(DYNAMIC_LEARNING);
    world_run_until(DYNAMIC_STABLE);
    world_expect_silence(30 * SECOND);
    world_expect(DYNAMIC_STABLE, "ba", true, true);
}

static void steady_mix_costs_no_update_and_no_ipi(void **state)
{
    (void)state;
    recorder.on_lock = call_meanwhile;
    world.target = seven_of_eight_first;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_expect_silence(30 * SECOND);
    assert_int_equal(world_look().state, DYNAMIC_STABLE);
    assert_int_equal(world.subject->call->form.targets.slot[0],
                     (uint64_t)world.subject->targets[0]);
}

/* Of calls in plenty a sixteenth of an epoch, looked at by the millisecond, stands for all of it;
 * each once, none during a change. */
static void many_calls_are_counted_for_a_slice_of_each_epoch(void **state)
{
    struct dynamic_auto_view before, after;
    uint64_t made;

    (void)state;
    recorder.on_lock = call_meanwhile;
    recorder.on_synchronize = call_meanwhile;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    after = world_look();
    assert_int_equal(after.hits, 0);
    assert_in_range(after.misses, 2 * DYNAMIC_EPOCH_NS / MILLISECOND * WORLD_CALLS * 9 / 10,
                    2 * DYNAMIC_EPOCH_NS / MILLISECOND * WORLD_CALLS * 11 / 10);
    world_run(3 * DYNAMIC_EPOCH_NS);
    assert_int_equal(world_look().misses, after.misses);
    before = world_look();
    made = world.made;
    world.target = seven_of_eight_first; /* one call in eight is a miss */
    world_run(10 * DYNAMIC_EPOCH_NS);
    after = world_look();
    assert_true(after.hits + after.misses - before.hits - before.misses <= world.made - made);
    assert_true(after.misses - before.misses >= WORLD_CALLS * 100 / 8);
    world_switch(false);
    assert_int_equal(world_look().misses, after.misses);
}

/* A slice of them would tell too little. */
static void few_calls_are_counted_for_whole_epochs(void **state)
{
    (void)state;
    world.calls = 10;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    assert_in_range(world_look().misses, 2 * DYNAMIC_EPOCH_NS / MILLISECOND * 10,
                    2 * DYNAMIC_EPOCH_NS / MILLISECOND * 10 + 100);
}

static void wait_for_long(void)
{
    recorder_time_pass(SECOND); /* of 2 ns each */
}

/* Nobody works in a grace period: however long it is, a change is worth what it was. */
static void grace_periods_cost_nothing_but_time(void **state)
{
    (void)state;
    recorder.on_synchronize = wait_for_long;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world.target = always_second;
    world_run_until(DYNAMIC_LEARNING);
    world_run_until(DYNAMIC_STABLE);
    assert_in_range(world_statistics().grace_ns, 2 * SECOND, 2 * SECOND + MILLISECOND);
    assert_in_range(world_last_decision().cost_ns, 1, MILLISECOND);
    assert_true(world.subject->call->choice.epoch_start_ns >= world_now_ns + 2 * SECOND);
}

static void pass_dear_round(void)
{
    recorder_time_pass(20 * MILLISECOND);
}

/* A call whose first batch met a busy machine knows by others' what batches cost. */
static void one_dear_batch_does_not_keep_a_call_from_learning(void **state)
{
    (void)state;
    other_world.subject = subject_four;
    other_world.target = always_first;
    other_world.cost = world.cost;
    other_world.calls = world.calls;
    dynamic_call_give_memory(subject_four->call, other_world.counts, DYNAMIC_CPUS);
    memset(&subject_four->call->choice, 0, sizeof(subject_four->call->choice));
    recorder.on_sync = pass_dear_round;
    world_switch(true);
    world_run_until(DYNAMIC_RESTING);
    assert_int_equal(world_last_decision().reason, DYNAMIC_REASON_FEW_CALLS);
    recorder.on_sync = NULL;
    world_expect_silence(SECOND);
    assert_int_equal(dynamic_auto_set(subject_four->call, true, world_now_ns, NULL), PATCH_OK);
    other_world.due_ns = 0;
    world_run_until(DYNAMIC_STABLE);
    assert_int_equal(world_statistics().batches, 2);
}

static void length_of_an_epoch_is_without_the_change(void **state)
{
    (void)state;
    world_switch(true);
    world_run(MILLISECOND);

    const struct dynamic_choice *choice = &world.subject->call->choice;

    assert_int_equal(choice->epoch_start_ns, world_now_ns + world_statistics().cost_ns);
    assert_int_equal(choice->epoch_end_ns, choice->epoch_start_ns + DYNAMIC_EPOCH_NS);
    assert_true(world_statistics().cost_ns != 0);
}

/* ---- Trials -----------------------------------------------------------------------------------
 */

/* Each millisecond the other's calls stand in one of six gaps. */
static void expect_cost_beside_another(uint64_t cost, unsigned ticks)
{
    assert_in_range(cost, ticks * TRIAL_COST_UNIT, ticks * TRIAL_COST_UNIT * 3 / 2);
}

static void two_targets_that_can_be_foretold_get_the_chain(void **state)
{
    struct dynamic_decision decision;

    (void)state;
    world.target = in_turns;
    world_switch(true);
    world_run_until(DYNAMIC_TRYING);
    world_run(2 * MILLISECOND);
    assert_true(world.subject->call->is_timed);

    uint64_t batches = world_statistics().batches;

    world_run_until(DYNAMIC_STABLE);
    world_run(2 * MILLISECOND);
    world_expect(DYNAMIC_STABLE, "ab", true, true);
    assert_false(world.subject->call->is_timed);
    assert_false(world.subject->call->goes_through);
    assert_int_equal(world_statistics().batches, batches + 1); /* the gate: a trial needs none */
    decision = world_last_decision();
    assert_int_equal(decision.reason, DYNAMIC_REASON_CHEAPER);
    world_expect_cost(decision.costs[DYNAMIC_WAY_SLOW], world.cost.slow);
    world_expect_cost(decision.costs[DYNAMIC_WAY_CHAIN], world.cost.hit);
    world_expect_silence(30 * SECOND);
}

static void targets_that_cannot_be_foretold_are_left_alone(void **state)
{
    struct dynamic_decision decision;

    (void)state;
    world.target = at_random;
    world.cost = (struct world_cost){.slow = 40, .hit = 55, .miss = 60};
    world_switch(true);
    world_run_until(DYNAMIC_TRYING);
    world_run_until(DYNAMIC_RESTING);
    world_run(2 * MILLISECOND);
    assert_false(dynamics_look(world.subject).form.is_open);
    assert_false(dynamics_look(world.subject).form.is_watched);
    decision = world_last_decision();
    assert_int_equal(decision.reason, DYNAMIC_REASON_UNPREDICTABLE);
    world_expect_cost(decision.costs[DYNAMIC_WAY_SLOW], world.cost.slow);
    assert_in_range(decision.costs[DYNAMIC_WAY_CHAIN], 55 * TRIAL_COST_UNIT, 62 * TRIAL_COST_UNIT);
    dynamics_expect_all_calls(world.subject);
}

/* Callers that wait cannot be timed: shares decide, and the wait is not taken for the call. */
static void calls_that_wait_are_decided_by_shares(void **state)
{
    (void)state;
    world.target = in_turns;
    world.waits = true;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    assert_int_equal(world_last_decision().reason, DYNAMIC_REASON_SHARES);
    assert_int_equal(world_last_decision().costs[DYNAMIC_WAY_CHAIN], 0);
}

static void few_calls_cannot_be_timed(void **state)
{
    (void)state;
    world.target = in_turns;
    world_switch(true);
    world_run_until(DYNAMIC_TRYING);
    world.calls = 1; /* 50 in an epoch */
    world_run_until(DYNAMIC_STABLE);
    assert_int_equal(world_last_decision().reason, DYNAMIC_REASON_SHARES);
}

/* There is one buffer: who comes second waits, without a batch, and then has it to itself. */
static void trials_of_two_calls_come_one_after_the_other(void **state)
{
    bool was_waiting = false;

    (void)state;
    world.target = in_turns;
    other_world = world;
    other_world.subject = subject_four;
    other_world.cost = (struct world_cost){.slow = 400, .hit = 100, .miss = 600};
    dynamic_call_give_memory(subject_four->call, other_world.counts, DYNAMIC_CPUS);
    memset(&subject_four->call->choice, 0, sizeof(subject_four->call->choice));
    assert_int_equal(dynamic_auto_set(subject_four->call, true, world_now_ns, NULL), PATCH_OK);
    world_switch(true);
    for (unsigned i = 0; i < 5000; i++) {
        world_run(MILLISECOND);
        assert_false(world.subject->call->is_timed && subject_four->call->is_timed);
        was_waiting |=
            world.subject->call->is_timed && subject_four->call->choice.state == DYNAMIC_TRYING;
    }
    assert_true(was_waiting);
    assert_int_equal(world_look().state, DYNAMIC_STABLE);
    expect_cost_beside_another(world_last_decision().costs[DYNAMIC_WAY_SLOW], 40);
    expect_cost_beside_another(world_last_decision().costs[DYNAMIC_WAY_CHAIN], 10);
    world.subject = subject_four;
    other_world.subject = subject_two;
    assert_int_equal(world_look().state, DYNAMIC_STABLE);
    expect_cost_beside_another(world_last_decision().costs[DYNAMIC_WAY_SLOW], 400);
    expect_cost_beside_another(world_last_decision().costs[DYNAMIC_WAY_CHAIN], 100);
}

/* A CPU that has begun a trial goes on with it, others are not heard; unless it falls silent. */
static void epochs_of_a_trial_are_of_one_cpu(void **state)
{
    (void)state;
    world.target = in_turns;
    recorder.cpu = 3;
    world_switch(true);
    world_run_until(DYNAMIC_TRYING);
    world_run(120 * MILLISECOND);
    assert_int_equal(trial_cpu(&dynamic_trial), 3);
    recorder.cpu = 1;
    world_run(50 * MILLISECOND);
    assert_int_equal(trial_cpu(&dynamic_trial), 3);
    world_run(110 * MILLISECOND);
    assert_int_equal(trial_cpu(&dynamic_trial), 1);
    world_run_until(DYNAMIC_STABLE);
    recorder.cpu = 0;
}

static void saving_of_a_clock_that_tells_nothing_is_the_least(void **state)
{
    (void)state;
    assert_int_equal(dynamic_saving_estimate(), 1); /* the recorder's: both ways cost one look */
}

static const struct CMUnitTest tests[] = {
    WORLD_TEST(constant_target_is_learnt_in_two_epochs),
    WORLD_TEST(cost_of_a_decision_is_that_of_its_batches),
    WORLD_TEST(another_target_is_learnt_in_three_epochs_and_two_batches),
    WORLD_TEST(steady_calls_cost_no_update_and_no_ipi),
    WORLD_TEST(steady_mix_costs_no_update_and_no_ipi),
    WORLD_TEST(many_calls_are_counted_for_a_slice_of_each_epoch),
    WORLD_TEST(few_calls_are_counted_for_whole_epochs),
    WORLD_TEST(grace_periods_cost_nothing_but_time),
    WORLD_TEST(one_dear_batch_does_not_keep_a_call_from_learning),
    WORLD_TEST(length_of_an_epoch_is_without_the_change),
    WORLD_TEST(two_targets_that_can_be_foretold_get_the_chain),
    WORLD_TEST(targets_that_cannot_be_foretold_are_left_alone),
    WORLD_TEST(calls_that_wait_are_decided_by_shares),
    WORLD_TEST(few_calls_cannot_be_timed),
    WORLD_TEST(trials_of_two_calls_come_one_after_the_other),
    WORLD_TEST(epochs_of_a_trial_are_of_one_cpu),
    WORLD_TEST(saving_of_a_clock_that_tells_nothing_is_the_least),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
