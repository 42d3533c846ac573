// SPDX-License-Identifier: MIT
/* dynamic_calls_forget(): a target that is about to go away, out of everything that knows it.
 * Detects a slot, a count, a score or a pin that still names it; other targets that go with it; a
 * gate that is open with nothing behind it; a return before everybody has left; a failure that is
 * not told, or after which it cannot be tried again. Could miss: threads on their way, for which
 * there is test_dynamic_call_steps. */
#include "tests/host/dynamics.h"

#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

#define IMMEDIATE DYNAMIC_COMPARE_IMMEDIATE
#define MEMORY    DYNAMIC_COMPARE_MEMORY

static struct patch_error error;

/* Of the subject with two: in slots of three calls, and counted. */
#define GOING (subject_two->targets[0])

/* One: it alone. Two: beside another. Four: watched, closed. Each instance: not at all. */
static struct dynamic_call_form forms[SUBJECTS];

static void calls_begin(void)
{
    forms[0] = dynamics_form(subject_one, ".", IMMEDIATE, true, false);
    forms[0].targets.slot[0] = (uint64_t)GOING;
    forms[1] = dynamics_form(subject_two, "ba", MEMORY, true, false);
    forms[2] = dynamics_form(&dynamic_subjects[2], "abc", MEMORY, true, false);
    forms[3] = dynamics_form(subject_four, "a.bc", IMMEDIATE, false, true);
    forms[3].targets.slot[1] = (uint64_t)GOING;
    forms[4] = dynamics_form(&dynamic_subjects[4], "a", IMMEDIATE, true, false);
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamics_bring(&dynamic_subjects[i], &forms[i]);
    }
    dynamic_call_give_memory(subject_four->call, dynamic_counts, DYNAMIC_CPUS);
    dynamics_begin();
}

/* What they are to be behind it. */
static void forms_forget(void)
{
    forms[0].targets.slot[0] = 0;
    forms[0].is_open = false;
    forms[1].targets.slot[1] = 0;
    forms[3].targets.slot[1] = 0;
}

static void expect_forms(void)
{
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamics_expect_text(&dynamic_subjects[i], &forms[i]);
        dynamics_expect_all_calls(&dynamic_subjects[i]);
    }
}

static void target_leaves_every_slot_and_no_other_does(void **state)
{
    (void)state;
    calls_begin();
    forms_forget();
    assert_int_equal(dynamic_calls_forget((uint64_t)GOING, &error), PATCH_OK);
    expect_forms();
    assert_int_equal(dynamics_look(subject_one).statistics.forgotten, 1);
    assert_int_equal(dynamics_look(subject_two).statistics.forgotten, 1);
    assert_int_equal(dynamics_look(&dynamic_subjects[2]).statistics.forgotten, 0);
    assert_int_equal(dynamics_look(subject_four).statistics.forgotten, 1);
    /* the last thing, whatever the changes have waited for */
    assert_int_equal(recorder_log()[strlen(recorder_log()) - 1], 'G');
}

static void unknown_target_costs_a_grace_period_and_no_batch(void **state)
{
    (void)state;
    calls_begin();
    assert_int_equal(dynamic_calls_forget((uint64_t)subject_two->targets[5], NULL), PATCH_OK);
    assert_string_equal(recorder_log(), "G");
    expect_forms();
    assert_int_equal(dynamic_calls_forget(0, NULL), PATCH_OK); /* no slot's, not an empty one's */
    expect_forms();
    assert_int_equal(dynamics_look(subject_four).statistics.forgotten, 0);
}

static bool is_counted(uint64_t target)
{
    for (unsigned cpu = 0; cpu < DYNAMIC_CPUS; cpu++) {
        for (unsigned row = 0; row < DYNAMIC_ROWS; row++) {
            if (dynamic_counts[cpu].rows[row].target == target) {
                return true;
            }
        }
    }
    return false;
}

static void counts_of_the_target_alone_are_lost(void **state)
{
    const uint64_t going = (uint64_t)subject_four->targets[4];
    const uint64_t other = (uint64_t)subject_four->targets[5];

    (void)state;
    calls_begin();
    for (recorder.cpu = 0; recorder.cpu < DYNAMIC_CPUS; recorder.cpu++) {
        dynamics_run(subject_four, BY_CALL, 4);
        dynamics_run(subject_four, BY_LOOP, 5);
    }
    recorder.cpu = 0;
    assert_true(is_counted(going));
    assert_int_equal(dynamic_calls_forget(going, &error), PATCH_OK);
    assert_false(is_counted(going));
    assert_true(is_counted(other));
    assert_int_equal(dynamic_counts[DYNAMIC_CPUS - 1].rows[1].calls, LOOP_TURNS);
}

static void pinned_target_is_pinned_no_more(void **state)
{
    struct dynamic_choice *choice = &subject_two->call->choice;
    const struct dynamic_call_form form = dynamics_form(subject_two, "ba", MEMORY, true, false);

    (void)state;
    calls_begin();
    dynamic_choice_pin(choice, &form.targets, 1000);
    dynamic_choice_formed(choice, 2, 1, 1000);
    assert_int_equal(dynamic_calls_forget((uint64_t)GOING, &error), PATCH_OK);
    for (unsigned i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        assert_int_not_equal(choice->wish.targets.slot[i], (uint64_t)GOING);
        assert_int_not_equal(choice->present.slot[i], (uint64_t)GOING);
    }
    dynamic_choice_switch(choice, false, 2, 2000);
}

/* The grace period of number @wait fails. */
static unsigned failing_wait;

static void fail_one_wait(void)
{
    recorder.synchronize_fails = recorder.synchronizes == failing_wait;
}

static void thread_that_stays_is_told(void **state)
{
    (void)state;
    calls_begin();
    failing_wait = 1;
    recorder.on_synchronize = fail_one_wait;
    assert_int_equal(dynamic_calls_forget((uint64_t)subject_two->targets[5], &error),
                     PATCH_ERR_STILL_INSIDE);
    assert_int_equal(error.status, PATCH_ERR_STILL_INSIDE);
    assert_int_equal(error.address, (uint64_t)subject_two->targets[5]);
    assert_int_equal(dynamic_calls_forget((uint64_t)subject_two->targets[5], NULL), PATCH_OK);
}

/* Each of the waits in turn: for a call's chain, or at the end. In the end it is gone. */
static void every_wait_that_fails_is_told_and_tried_again(void **state)
{
    enum patch_status status;
    unsigned not_left = 0, still_inside = 0;

    (void)state;
    calls_begin();
    for (failing_wait = 1; still_inside == 0; failing_wait++) {
        dynamics_begin();
        recorder.on_synchronize = fail_one_wait;
        status = dynamic_calls_forget((uint64_t)GOING, &error);
        not_left += status == PATCH_ERR_NOT_LEFT;
        still_inside += status == PATCH_ERR_STILL_INSIDE;
        assert_true(status == PATCH_ERR_NOT_LEFT || status == PATCH_ERR_STILL_INSIDE);
        if (status == PATCH_ERR_NOT_LEFT) { /* as before, and from the beginning */
            assert_non_null(error.name);
            recorder.on_synchronize = NULL;
            recorder.synchronize_fails = false;
            for (unsigned i = 0; i < SUBJECTS; i++) {
                dynamics_expect_all_calls(&dynamic_subjects[i]);
                dynamics_bring(&dynamic_subjects[i], &forms[i]);
            }
        }
    }
    assert_int_equal(not_left, 2); /* of one and of two; four was closed */
    dynamics_begin();
    forms_forget();
    expect_forms();
    assert_int_equal(dynamic_calls_forget((uint64_t)GOING, NULL), PATCH_OK);
    assert_string_equal(recorder_log(), "G");
}

static void write_that_fails_leaves_the_slot_and_is_told(void **state)
{
    (void)state;
    calls_begin();
    recorder.fail_write = 1;
    assert_int_equal(dynamic_calls_forget((uint64_t)GOING, &error), PATCH_ERR_WRITE);
    assert_int_equal(error.status, PATCH_ERR_WRITE);
    recorder.fail_write = 0;
    expect_forms();
    assert_int_equal(dynamics_look(subject_one).statistics.forgotten, 0);
    assert_int_equal(dynamic_calls_forget((uint64_t)GOING, &error), PATCH_OK);
    assert_int_equal(dynamics_look(subject_one).statistics.forgotten, 1);
    forms_forget();
    expect_forms();
}

static void no_thread_no_forgetting(void **state)
{
    (void)state;
    calls_begin();
    recorder.may_patch = false;
    assert_int_equal(dynamic_calls_forget((uint64_t)GOING, &error), PATCH_ERR_CONTEXT);
    assert_int_equal(error.address, (uint64_t)GOING);
    recorder.may_patch = true;
    assert_string_equal(recorder_log(), "");
    expect_forms();
}

/* What a person sees is of one moment, and of this call. */
static void look_tells_what_the_call_is(void **state)
{
    struct dynamic_call_view view;

    (void)state;
    calls_begin();
    memset(&view, 0xff, sizeof(view));
    dynamic_call_look(subject_four->call, &view);
    assert_string_equal(view.name, "four");
    assert_int_equal(view.slot_count, 4);
    assert_int_equal(view.sites, subject_four->places);
    assert_true(view.has_memory);
    assert_int_equal(view.nulls, 0);
    assert_int_equal(view.statistics.changes, 1);
    assert_int_equal(view.statistics.failed, 0);
    assert_int_equal(view.form.targets.slot[1], (uint64_t)GOING);
    assert_false(dynamics_look(subject_two).has_memory);
    assert_false(platform_change_lock_is_held());
}

static const struct CMUnitTest tests[] = {
    DYNAMIC_TEST(target_leaves_every_slot_and_no_other_does),
    DYNAMIC_TEST(unknown_target_costs_a_grace_period_and_no_batch),
    DYNAMIC_TEST(counts_of_the_target_alone_are_lost),
    DYNAMIC_TEST(pinned_target_is_pinned_no_more),
    DYNAMIC_TEST(thread_that_stays_is_told),
    DYNAMIC_TEST(every_wait_that_fails_is_told_and_tried_again),
    DYNAMIC_TEST(write_that_fails_leaves_the_slot_and_is_told),
    DYNAMIC_TEST(no_thread_no_forgetting),
    DYNAMIC_TEST(look_tells_what_the_call_is),
};

HOST_TEST_MAIN(tests, dynamics_group_setup)
