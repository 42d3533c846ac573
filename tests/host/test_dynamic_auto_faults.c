// SPDX-License-Identifier: MIT
/* Automatic learning of dynamic calls where somebody or something comes between: a person, another
 * who changes the call, targets that go away, batches that fail, grace periods without end, no
 * budget, no memory. Why it detects: as test_dynamic_auto.c; and behind each of these the target
 * that is called must be learnt in the end. */
#include "patching/indirect_thunk.h"
#include "tests/host/dynamic_world.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

static void off_is_closed_and_quiet_from_every_state(void **state)
{
    static const enum dynamic_state states[] = {DYNAMIC_LEARNING, DYNAMIC_TRYING, DYNAMIC_STABLE};

    (void)state;
    world.target = in_turns;
    for (unsigned i = 0; i < ARRAY_COUNT(states); i++) {
        world_switch(true);
        world_run_until(states[i]);
        world_run(70 * MILLISECOND);
        world_switch(false);
        assert_int_equal(world_look().state, DYNAMIC_OFF);
        assert_int_equal(world_look().reason, DYNAMIC_REASON_HAND);
        assert_false(world.subject->call->is_timed);
        assert_false(world.subject->call->goes_through);
        assert_false(dynamics_look(world.subject).form.is_open);
        assert_false(dynamics_look(world.subject).form.is_watched);
        dynamics_expect_all_calls(world.subject);
        assert_true(dynamic_auto_step(world.subject->call, world_now_ns) == UINT64_MAX);
        world_expect_silence(SECOND);
    }
}

static void pinned_targets_stay_whatever_is_called(void **state)
{
    struct dynamic_targets targets = {{(uint64_t)subject_two->targets[2]}};

    (void)state;
    world.target = in_turns;
    world_switch(true);
    world_run_until(DYNAMIC_TRYING);
    world_run(70 * MILLISECOND);
    assert_int_equal(dynamic_auto_pin(world.subject->call, &targets, world_now_ns, NULL), PATCH_OK);
    world_expect(DYNAMIC_PINNED, "c.", true, false);
    assert_false(world.subject->call->is_timed);
    assert_true(dynamic_auto_step(world.subject->call, world_now_ns) == UINT64_MAX);
    world_expect_silence(SECOND);
    world_expect(DYNAMIC_PINNED, "c.", true, false);
    world_switch(true);
    world_run(MILLISECOND);
    world_expect(DYNAMIC_LEARNING, "c.", false, true);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);
    world_expect(DYNAMIC_STABLE, "ab", true, true);
}

static void what_cannot_be_pinned_changes_nothing(void **state)
{
    const uint64_t target = (uint64_t)subject_two->targets[2];
    const struct {
        struct dynamic_targets targets;
        enum patch_status status;
    } cases[] = {
        {{{0}}, PATCH_ERR_NO_TARGET},          {{{target, target}}, PATCH_ERR_TARGETS},
        {{{0, 0, target}}, PATCH_ERR_TARGETS}, {{{DYNAMIC_CALL_NEVER}}, PATCH_ERR_RANGE},
        {{{1ull << 40}}, PATCH_ERR_RANGE},
    };

    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        struct patch_error error = {0};

        assert_int_equal(
            dynamic_auto_pin(world.subject->call, &cases[i].targets, world_now_ns, &error),
            cases[i].status);
        assert_string_equal(error.name, "two");
        world_expect(DYNAMIC_STABLE, "a.", true, true);
    }
    world_expect_silence(SECOND);
}

/* In a trial: the chain that is tried is not to be timed while the slots are rewritten. */
static void kind_of_comparison_changes_and_learning_goes_on(void **state)
{
    static const enum dynamic_state states[] = {DYNAMIC_LEARNING, DYNAMIC_TRYING, DYNAMIC_STABLE};
    struct patch_error error = {0};

    (void)state;
    world.target = in_turns;
    for (unsigned i = 0; i < ARRAY_COUNT(states); i++) {
        enum dynamic_compare compare = (enum dynamic_compare)(1 - i % 2);

        world_switch(true);
        world_run_until(states[i]);
        world_run(70 * MILLISECOND);
        assert_int_equal(dynamic_auto_set_compare(world.subject->call, compare, NULL), PATCH_OK);
        assert_false(world.subject->call->goes_through);
        /* What was timed of the other kind is not mixed with what will be. */
        assert_int_equal(world_look().state,
                         states[i] == DYNAMIC_TRYING ? DYNAMIC_LEARNING : states[i]);
        world_run_until(DYNAMIC_STABLE);
        world_run(2 * MILLISECOND);
        assert_int_equal(dynamics_look(world.subject).form.compare, compare);
        world_expect(DYNAMIC_STABLE, "ab", true, true);
        if (states[i] == DYNAMIC_TRYING) {
            world_expect_cost(world_last_decision().costs[DYNAMIC_WAY_CHAIN], world.cost.hit);
        }
        world_switch(false);
    }
    assert_int_equal(dynamic_auto_set_compare(world.subject->call, DYNAMIC_COMPARE_COUNT, &error),
                     PATCH_ERR_INSTRUCTION);
}

static void forgotten_target_is_learnt_no_more(void **state)
{
    static const enum dynamic_state states[] = {DYNAMIC_LEARNING, DYNAMIC_TRYING, DYNAMIC_STABLE};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(states); i++) {
        world.target = in_turns;
        world_switch(true);
        world_run_until(states[i]);
        world_run(70 * MILLISECOND);
        world.target = always_second; /* nobody passes it any more */
        assert_int_equal(dynamic_calls_forget((uint64_t)world.subject->targets[0], NULL), PATCH_OK);
        for (unsigned j = 0; j < DYNAMIC_SLOTS_MAX; j++) {
            assert_true(world.subject->call->form.targets.slot[j] !=
                        (uint64_t)world.subject->targets[0]);
        }
        world.due_ns = 0;
        world_run(3 * SECOND);
        assert_int_equal(world_look().state, DYNAMIC_STABLE);
        assert_true(dynamics_look(world.subject).form.is_open);
        assert_true(world.subject->call->form.targets.slot[0] !=
                    (uint64_t)world.subject->targets[0]);
        assert_true(world.subject->call->form.targets.slot[1] !=
                    (uint64_t)world.subject->targets[0]);
        world_switch(false);
    }
}

/* Somebody else has set the call: what was counted before is of another form. */
static void change_by_another_ends_the_epoch(void **state)
{
    const struct dynamic_call_form form =
        dynamics_form(subject_two, "cd", DYNAMIC_COMPARE_IMMEDIATE, true, false);

    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);

    uint64_t epochs = world_look().epochs;

    world_run(DYNAMIC_EPOCH_NS / 2);
    dynamics_bring(subject_two, &form);
    world.due_ns = 0;
    world_run(MILLISECOND);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
    assert_int_equal(world_look().epochs, epochs);
    world_run(DYNAMIC_EPOCH_NS - 5 * MILLISECOND);
    assert_int_equal(world_look().epochs, epochs);
}

/* The same targets, but the comparisons were rewritten: the counts were cleared on the way. */
static void kind_of_comparison_set_by_another_ends_the_epoch(void **state)
{
    struct dynamic_call_form form;

    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);

    uint64_t epochs = world_look().epochs;

    world_run(DYNAMIC_EPOCH_NS / 2);
    form = dynamics_look(world.subject).form;
    form.compare = DYNAMIC_COMPARE_MEMORY;
    dynamics_bring(subject_two, &form);
    world_run(DYNAMIC_EPOCH_NS);
    assert_int_equal(world_look().epochs, epochs);
    world_run(DYNAMIC_EPOCH_NS);
    assert_int_equal(world_look().epochs, epochs + 1);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
}

/* The next batch meets a silent CPU. Nothing breaks, it is said, and when the CPU is back the
 * target is learnt. */
static void expect_failure_and_recovery(unsigned target)
{
    uint64_t refused = world_look().refused;

    recorder.silent_round = recorder.rounds + 1;
    for (unsigned i = 0; i < 500 && world_look().refused == refused; i++) {
        world_run(MILLISECOND);
    }
    assert_int_equal(world_look().refused, refused + 1);
    assert_int_equal(world_look().refused_with, PATCH_ERR_SILENT_CPU);
    dynamics_expect_all_calls(world.subject);
    recorder.silent_round = 0;
    world_run(10 * SECOND);
    assert_int_equal(world_look().state, DYNAMIC_STABLE);
    assert_true(dynamics_look(world.subject).form.is_open);
    assert_int_equal(world.subject->call->form.targets.slot[0],
                     (uint64_t)world.subject->targets[target]);
    assert_int_equal(world_look().refused, refused + 1);
}

static void batches_that_fail_are_told_and_tried_again(void **state)
{
    (void)state;
    world_switch(true);
    expect_failure_and_recovery(0); /* the watch */
    world_switch(false);
    world.target = always_second;
    world_switch(true);
    world_run(MILLISECOND);
    expect_failure_and_recovery(1); /* slots and gate */
    world.target = always_first;
    expect_failure_and_recovery(0); /* the gate is to close */
    world.target = always_second;
    world_run_until(DYNAMIC_LEARNING);
    world_run(MILLISECOND);
    expect_failure_and_recovery(1); /* slots and gate, behind an alarm */
}

static void failed_writes_are_told_and_tried_again(void **state)
{
    (void)state;
    world_switch(true);
    world_run(MILLISECOND);
    recorder.fail_write = recorder.writes + 2;
    recorder.fault = FAULT_NOTHING_WRITTEN;
    world_run(4 * SECOND);
    assert_int_equal(world_look().refused, 1);
    assert_int_equal(world_look().refused_with, PATCH_ERR_WRITE);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
}

/* A thread does not come out of the chain: the gate stays closed, the slots as they were. */
static void grace_period_without_end_is_told_and_tried_again(void **state)
{
    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);
    recorder.synchronize_fails = true;
    world.target = always_second;
    for (unsigned i = 0; i < 1000 && world_look().refused == 0; i++) {
        world_run(MILLISECOND);
    }
    assert_int_equal(world_look().refused, 1);
    assert_int_equal(world_look().refused_with, PATCH_ERR_NOT_LEFT);
    assert_false(dynamics_look(world.subject).form.is_open);
    assert_int_equal(world.subject->call->form.targets.slot[0],
                     (uint64_t)world.subject->targets[0]);
    dynamics_expect_all_calls(world.subject);
    recorder.synchronize_fails = false;
    world_run(3 * SECOND);
    assert_int_equal(world_look().state, DYNAMIC_STABLE);
    assert_true(dynamics_look(world.subject).form.is_open);
    assert_int_equal(world.subject->call->form.targets.slot[0],
                     (uint64_t)world.subject->targets[1]);
}

/* Somebody's change was put back, and a CPU may keep what is there no more (dynamic_call.h): nobody
 * is sent through the chain before a grace period. */
static void trial_goes_not_through_a_chain_that_was_put_back(void **state)
{
    const struct dynamic_call_form form =
        dynamics_form(subject_two, "cd", DYNAMIC_COMPARE_IMMEDIATE, false, true);

    (void)state;
    world.target = in_turns;
    world_switch(true);
    world_run_until(DYNAMIC_TRYING);
    world_run(20 * MILLISECOND);
    recorder.silent_round = recorder.rounds + 1;
    assert_int_equal(dynamic_call_set_form(world.subject->call, &form, NULL), PATCH_ERR_SILENT_CPU);
    recorder.silent_round = 0;
    recorder.synchronize_fails = true;
    for (unsigned i = 0; i < 300 && world_look().refused == 0; i++) {
        world_run(MILLISECOND);
        assert_false(world.subject->call->goes_through);
    }
    assert_int_equal(world_look().refused_with, PATCH_ERR_NOT_LEFT);
    recorder.synchronize_fails = false;
    world_run_until(DYNAMIC_STABLE);
    world_run(2 * MILLISECOND);
    world_expect(DYNAMIC_STABLE, "ab", true, true);
}

static void off_that_fails_is_not_off(void **state)
{
    struct patch_error error = {0};

    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);
    recorder.silent_round = recorder.rounds + 1;
    assert_int_equal(dynamic_auto_set(world.subject->call, false, world_now_ns, &error),
                     PATCH_ERR_SILENT_CPU);
    assert_int_equal(world_look().state, DYNAMIC_STABLE);
    recorder.silent_round = 0;
    world.due_ns = 0;
    world_run(SECOND);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
}

static void nothing_is_patched_without_budget_or_context(void **state)
{
    const struct dynamic_targets targets = {{(uint64_t)subject_two->targets[0]}};

    (void)state;
    world_switch(true);
    dynamic_auto_set_budget(0);
    world_expect_silence(5 * SECOND);
    dynamic_auto_set_budget(DYNAMIC_BUDGET_DEFAULT);
    recorder.may_patch = false;
    assert_true(dynamic_auto_step(world.subject->call, world_now_ns) > world_now_ns);
    assert_int_equal(dynamic_auto_set(world.subject->call, false, 0, NULL), PATCH_ERR_CONTEXT);
    assert_int_equal(dynamic_auto_pin(world.subject->call, &targets, 0, NULL), PATCH_ERR_CONTEXT);
    assert_int_equal(dynamic_auto_set_compare(world.subject->call, DYNAMIC_COMPARE_MEMORY, NULL),
                     PATCH_ERR_CONTEXT);
    recorder.may_patch = true;
    world_run_until(DYNAMIC_STABLE);
    world_run(2 * SECOND);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
}

/* Targets that change as fast as they are learnt, all day long. */
static void budget_bounds_batches_of_calls_that_never_settle(void **state)
{
    enum { SECONDS = 20, PER_SECOND = 1 };

    (void)state;
    dynamic_auto_set_budget(PER_SECOND);
    world_switch(true);
    world_run(SECOND / 2); /* two to begin with: the watch; slots and gate are to have two */
    assert_false(dynamics_look(world.subject).form.is_open);
    world_run(SECOND);
    assert_true(dynamics_look(world.subject).form.is_open);
    for (unsigned i = 0; i < SECONDS * 4; i++) {
        world.target = i % 2 ? always_second : always_first;
        world_run(SECOND / 4);
    }
    assert_in_range(world_statistics().batches, 2, (SECONDS + 2) * PER_SECOND);
}

static void without_memory_a_call_stays_as_it_is(void **state)
{
    (void)state;
    world.subject->call->counts = NULL;
    world_switch(true);
    world_expect_silence(5 * SECOND);
    assert_int_equal(world_look().state, DYNAMIC_LEARNING);
    assert_int_equal(world_look().epochs, 0);
    assert_false(dynamics_look(world.subject).has_memory);
    dynamic_call_give_memory(world.subject->call, world.counts, DYNAMIC_CPUS);
    world_run_until(DYNAMIC_STABLE);
    world_run(MILLISECOND);
    world_expect(DYNAMIC_STABLE, "a.", true, true);
}

static void nobody_calls_and_nothing_is_patched(void **state)
{
    (void)state;
    world.calls = 0;
    world_switch(true);
    world_run_until(DYNAMIC_RESTING);
    assert_int_equal(world_look().reason, DYNAMIC_REASON_FEW_CALLS);
    assert_int_equal(world_statistics().batches, 1); /* the watch */
    world_expect_silence(30 * SECOND);
    world.calls = WORLD_CALLS;
    world_run_until(DYNAMIC_STABLE);
}

/* What a slot saves is a matter of the thunk that it goes round. */
static void another_mitigation_is_learnt_under_anew(void **state)
{
    (void)state;
    world_switch(true);
    world_run_until(DYNAMIC_STABLE);
    assert_int_equal(mitigation_set(MITIGATION_NONE, NULL), PATCH_OK);
    world_run(2 * MILLISECOND);
    world_run_until(DYNAMIC_LEARNING);
    world_run_until(DYNAMIC_STABLE);
    world_expect_silence(3 * SECOND);
    assert_int_equal(mitigation_set(MITIGATION_RETPOLINE, NULL), PATCH_OK);
}

static void switched_on_a_call_that_rests_learns_anew(void **state)
{
    (void)state;
    world.target = at_random;
    world_switch(true);
    world_run_until(DYNAMIC_RESTING);
    assert_int_equal(dynamic_auto_set(world.subject->call, true, world_now_ns, NULL), PATCH_OK);
    assert_int_equal(world_look().state, DYNAMIC_LEARNING);
}

static const struct CMUnitTest tests[] = {
    WORLD_TEST(another_mitigation_is_learnt_under_anew),
    WORLD_TEST(switched_on_a_call_that_rests_learns_anew),
    WORLD_TEST(off_is_closed_and_quiet_from_every_state),
    WORLD_TEST(pinned_targets_stay_whatever_is_called),
    WORLD_TEST(what_cannot_be_pinned_changes_nothing),
    WORLD_TEST(kind_of_comparison_changes_and_learning_goes_on),
    WORLD_TEST(forgotten_target_is_learnt_no_more),
    WORLD_TEST(change_by_another_ends_the_epoch),
    WORLD_TEST(kind_of_comparison_set_by_another_ends_the_epoch),
    WORLD_TEST(batches_that_fail_are_told_and_tried_again),
    WORLD_TEST(failed_writes_are_told_and_tried_again),
    WORLD_TEST(grace_period_without_end_is_told_and_tried_again),
    WORLD_TEST(trial_goes_not_through_a_chain_that_was_put_back),
    WORLD_TEST(off_that_fails_is_not_off),
    WORLD_TEST(nothing_is_patched_without_budget_or_context),
    WORLD_TEST(budget_bounds_batches_of_calls_that_never_settle),
    WORLD_TEST(without_memory_a_call_stays_as_it_is),
    WORLD_TEST(nobody_calls_and_nothing_is_patched),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
