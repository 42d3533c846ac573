// SPDX-License-Identifier: MIT
/* What the macro dynamic_call() does, as compiled: every call arrives, whatever the slots name.
 * Detects arguments that are evaluated twice, not at all or too early; a NULL that is called; a
 * register, an argument on the stack or a result that is lost; a slot that is not asked; a call
 * that is not counted, or counted although nobody watches; instances that meet. That types are
 * checked: tools/test_dynamic_call_types.py. Could miss: what depends on the moment
 * (test_dynamic_call_steps). */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

static const struct dynamic_call_form closed;

static void every_call_arrives_before_anything_is_learnt(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamics_expect_all_calls(&dynamic_subjects[i]);
    }
}

/* Each slot with each target, in both kinds of comparison, gate open and closed, watched or not. */
static void every_call_arrives_whatever_a_slot_names(void **state)
{
    static const char *const slots[] = {"a", "f", ".a", "ba", "a.c", ".cb", "..f", "...d", "abcd"};

    (void)state;
    for (unsigned i = 0; i < SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];

        for (unsigned j = 0; j < ARRAY_COUNT(slots); j++) {
            if (strlen(slots[j]) > subject->call->slot_count) {
                continue;
            }
            for (unsigned bits = 0; bits < 8; bits++) {
                const struct dynamic_call_form form =
                    dynamics_form(subject, slots[j], (enum dynamic_compare)(bits & 1),
                                  (bits & 2) != 0, (bits & 4) != 0);

                dynamics_begin();
                dynamics_bring(subject, &form);
                dynamics_expect_text(subject, &form);
                dynamics_expect_all_calls(subject);
            }
        }
    }
}

/* A call that arrives may have taken the slow way. If the direct call of the slot leads elsewhere,
 * one through the slot does not arrive. */
static void calls_go_through_the_slot_that_names_their_target(void **state)
{
    static const enum dynamic_compare kinds[] = {DYNAMIC_COMPARE_IMMEDIATE, DYNAMIC_COMPARE_MEMORY};

    (void)state;
    for (unsigned i = 0; i < SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];

        for (unsigned slot = 0; slot < 2 * subject->call->slot_count; slot++) {
            struct dynamic_call_form form =
                dynamics_form(subject, "bcde", kinds[slot % 2], true, false);

            memset(&form.targets.slot[subject->call->slot_count], 0,
                   (DYNAMIC_SLOTS_MAX - subject->call->slot_count) * sizeof(uint64_t));
            dynamics_begin();
            dynamics_bring(subject, &form);
            assert_int_equal(
                static_call_set(subject->call->slots[slot / 2].call, subject->targets[0], NULL),
                PATCH_OK);
            for (enum dynamic_caller caller = 0; caller < DYNAMIC_CALLERS; caller++) {
                for (unsigned target = 1; subject->callers[caller] && target <= 5; target++) {
                    dynamics_run_begin();
                    subject->callers[caller](subject->targets[target], DYNAMIC_X, DYNAMIC_Y);
                    assert_int_equal(dynamics_reached(), target == slot / 2 + 1 ? 0 : target);
                }
            }
            assert_int_equal(static_call_set(subject->call->slots[slot / 2].call,
                                             (dynamic_function *)form.targets.slot[slot / 2], NULL),
                             PATCH_OK);
        }
    }
}

/* What the arguments of a call do, in which order. */
static char order[16];

static dynamic_type_two *pick(unsigned target)
{
    strcat(order, "f");
    return target < SUBJECT_TARGETS ? (dynamic_type_two *)subject_two->targets[target] : NULL;
}

static uint64_t give(const char *name, uint64_t value)
{
    strcat(order, name);
    return value;
}

static void expect_evaluated_once(void)
{
    for (unsigned target = 0; target <= SUBJECT_TARGETS; target++) {
        order[0] = '\0';
        dynamics_run_begin();
        dynamic_call(two, pick(target), give("x", DYNAMIC_X), give("y", DYNAMIC_Y));
        assert_int_equal(dynamics_reached(), target);
        assert_true(strcmp(order, "fxy") == 0 || strcmp(order, "fyx") == 0);
    }
}

static void function_and_arguments_are_evaluated_once_the_function_first(void **state)
{
    struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, true, true);

    (void)state;
    expect_evaluated_once();
    dynamics_bring(subject_two, &form);
    expect_evaluated_once();
    form.is_open = false;
    dynamics_bring(subject_two, &form);
    assert_true(dynamic_call_set_through(subject_two->call, true));
    expect_evaluated_once();
}

static void null_is_not_called_but_counted(void **state)
{
    struct dynamic_call_form form =
        dynamics_form(subject_two, ".b", DYNAMIC_COMPARE_MEMORY, false, false);

    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        form.is_open = i & 1;
        form.is_watched = (i & 2) != 0;
        dynamics_begin();
        dynamics_bring(subject_two, &form);
        dynamics_run(subject_two, BY_CALL, SUBJECT_TARGETS);
        dynamics_run(subject_two, BY_TAIL, SUBJECT_TARGETS);
        dynamics_run(subject_two, BY_LOOP, SUBJECT_TARGETS);
        assert_int_equal(dynamics_look(subject_two).nulls, (i + 1) * (2 + LOOP_TURNS));
    }
}

/* Which targets this CPU has counted, and how often. */
static uint64_t counted(const struct dynamic_subject *subject, unsigned target)
{
    struct dynamic_census census;

    dynamic_count_merge(&census, dynamic_counts, DYNAMIC_CPUS);
    for (uint32_t i = 0; i < census.row_count; i++) {
        if (census.rows[i].target == (uint64_t)subject->targets[target]) {
            return census.rows[i].calls;
        }
    }
    return 0;
}

static uint64_t counted_total(void)
{
    struct dynamic_census census;

    dynamic_count_merge(&census, dynamic_counts, DYNAMIC_CPUS);
    return census.total;
}

static void run_three(void)
{
    dynamics_run(subject_two, BY_LOOP, 0);
    dynamics_run(subject_two, BY_CALL, 1);
    dynamics_run(subject_two, BY_TAIL, 1);
    dynamics_run(subject_two, BY_CALL, 2);
    dynamics_run(subject_two, BY_CALL, SUBJECT_TARGETS);
}

static void watched_calls_are_counted_by_target_and_others_are_not(void **state)
{
    struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, false, false);

    (void)state;
    assert_false(dynamics_look(subject_two).has_memory);
    dynamic_call_give_memory(subject_two->call, dynamic_counts, DYNAMIC_CPUS);
    assert_true(dynamics_look(subject_two).has_memory);
    recorder.cpu = 2;
    run_three();
    assert_int_equal(counted_total(), 0);

    form.is_watched = true; /* closed: every call */
    dynamics_bring(subject_two, &form);
    run_three();
    assert_int_equal(counted(subject_two, 0), LOOP_TURNS);
    assert_int_equal(counted(subject_two, 1), 2);
    assert_int_equal(counted(subject_two, 2), 1);
    assert_int_equal(counted_total(), LOOP_TURNS + 3);
    assert_int_equal(dynamic_counts[2].rows[0].calls, LOOP_TURNS);
    recorder.cpu = DYNAMIC_CPUS; /* one that nobody knew of has no table */
    run_three();
    assert_int_equal(counted_total(), LOOP_TURNS + 3);
    assert_int_equal(dynamic_counts[DYNAMIC_CPUS].rows[0].calls, 0);
    recorder.cpu = 2;
    dynamic_watch_set_counting(subject_two->call, false); /* behind a slice; they stop by, though */
    dynamic_watch_set_through(subject_two->call, true);
    run_three();
    assert_int_equal(counted_total(), LOOP_TURNS + 3);
    dynamic_watch_set_through(subject_two->call, false);

    form.is_open = true; /* what no slot names */
    dynamics_bring(subject_two, &form);
    assert_int_equal(counted_total(), 0);
    recorder.cpu = 1;
    run_three();
    assert_int_equal(counted(subject_two, 2), 1);
    assert_int_equal(counted_total(), 1);
    dynamics_bring(subject_two, &closed);
}

/* A trial takes the calls for itself, both ways in turns. */
static void timed_calls_are_stamped_and_not_counted(void **state)
{
    struct dynamic_call *call = subject_two->call;
    const struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_IMMEDIATE, false, true);

    (void)state;
    dynamic_call_give_memory(call, dynamic_counts, DYNAMIC_CPUS);
    dynamics_bring(subject_two, &form);
    for (unsigned through = 0; through < 2; through++) {
        dynamic_watch_set_timed(call, true);
        assert_true(dynamic_call_set_through(call, through));
        trial_start(&dynamic_trial, TRIAL_ANY_CPU);
        run_three();
        assert_int_equal(trial_stop(&dynamic_trial), LOOP_TURNS + 4); /* NULL too */
        assert_ptr_equal(dynamic_trial.samples[LOOP_TURNS + 2].target, subject_two->targets[2]);
        dynamic_watch_set_timed(call, false);
        assert_int_equal(counted_total(), 0);
    }
}

/* Behind a closed gate the chain is taken if, and only if, a watched call is told so. */
static void closed_calls_take_the_chain_when_told_to(void **state)
{
    struct dynamic_call *call = subject_two->call;
    struct dynamic_call_form form =
        dynamics_form(subject_two, "ab", DYNAMIC_COMPARE_MEMORY, false, true);

    (void)state;
    for (unsigned bits = 0; bits < 4; bits++) {
        bool is_taken = bits == 3;

        dynamics_begin();
        form.is_watched = bits & 1;
        dynamics_bring(subject_two, &form);
        assert_int_equal(static_call_set(call->slots[0].call, subject_two->targets[5], NULL),
                         PATCH_OK);
        assert_true(dynamic_call_set_through(call, (bits & 2) != 0));
        dynamics_run_begin();
        subject_two->callers[BY_CALL](subject_two->targets[0], 1, 2);
        assert_int_equal(dynamics_reached(), is_taken ? 5 : 0);
        assert_int_equal(static_call_set(call->slots[0].call, subject_two->targets[0], NULL),
                         PATCH_OK);
        dynamics_expect_all_calls(subject_two);
    }
}

static void waiting_callers_break_the_trial_of_their_call_alone(void **state)
{
    (void)state;
    trial_start(&dynamic_trial, TRIAL_ANY_CPU);
    trial_record(&dynamic_trial, 1);
    dynamic_call_break(two);
    assert_false(dynamic_trial.is_broken);
    dynamic_watch_set_timed(subject_two->call, true);
    dynamic_call_break(two);
    assert_true(dynamic_trial.is_broken);
    dynamic_watch_set_timed(subject_two->call, false);
    trial_stop(&dynamic_trial);
}

static void instances_learn_apart(void **state)
{
    const struct dynamic_subject *each = &dynamic_subjects[4];
    struct dynamic_call_form form =
        dynamics_form(each, "a", DYNAMIC_COMPARE_IMMEDIATE, true, false);

    (void)state;
    assert_int_equal(dynamic_call_set_form(&dynamic_call_each_0, &form, NULL), PATCH_OK);
    form = dynamics_form(each, "b", DYNAMIC_COMPARE_MEMORY, true, false);
    assert_int_equal(dynamic_call_set_form(&dynamic_call_each_1, &form, NULL), PATCH_OK);
    for (unsigned instance = 0; instance <= DYNAMIC_INSTANCE_NONE; instance++) {
        for (unsigned target = 0; target <= SUBJECT_TARGETS; target++) {
            dynamic_function *function = target < SUBJECT_TARGETS ? each->targets[target] : NULL;

            dynamics_run_begin();
            uint64_t result = call_instance(instance, function, DYNAMIC_X, DYNAMIC_Y);

            assert_true(dynamics_run_judge(each, BY_CALL, target, result));
        }
    }
    assert_int_equal(dynamic_call_each_2.nulls, 1);
    assert_int_equal(dynamic_call_each_0.nulls, 2); /* its own, and that of nobody */
    assert_int_equal(dynamic_call_set_form(&dynamic_call_each_1, &closed, NULL), PATCH_OK);
}

static void instances_are_taken_once_and_come_back(void **state)
{
    (void)state;
    for (unsigned instance = 0; instance < DYNAMIC_INSTANCES; instance++) {
        assert_int_equal(dynamic_call_instance_take(each), instance);
    }
    assert_int_equal(dynamic_call_instance_take(each), DYNAMIC_INSTANCE_NONE);
    dynamic_call_instance_release(each, DYNAMIC_INSTANCE_NONE);
    assert_int_equal(dynamic_call_instance_take(each), DYNAMIC_INSTANCE_NONE);
    dynamic_call_instance_release(each, 2);
    dynamic_call_instance_release(each, 1);
    assert_int_equal(dynamic_call_instance_take(each), 1);
    assert_int_equal(dynamic_call_instance_take(each), 2);
    for (unsigned instance = 0; instance < DYNAMIC_INSTANCES; instance++) {
        dynamic_call_instance_release(each, instance);
    }
}

static const struct CMUnitTest tests[] = {
    DYNAMIC_TEST(every_call_arrives_before_anything_is_learnt),
    DYNAMIC_TEST(every_call_arrives_whatever_a_slot_names),
    DYNAMIC_TEST(calls_go_through_the_slot_that_names_their_target),
    DYNAMIC_TEST(function_and_arguments_are_evaluated_once_the_function_first),
    DYNAMIC_TEST(null_is_not_called_but_counted),
    DYNAMIC_TEST(watched_calls_are_counted_by_target_and_others_are_not),
    DYNAMIC_TEST(timed_calls_are_stamped_and_not_counted),
    DYNAMIC_TEST(closed_calls_take_the_chain_when_told_to),
    DYNAMIC_TEST(waiting_callers_break_the_trial_of_their_call_alone),
    DYNAMIC_TEST(instances_learn_apart),
    DYNAMIC_TEST(instances_are_taken_once_and_come_back),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
