// SPDX-License-Identifier: MIT
/* A CPU that runs through a call while it is updated. The CPU is this thread, the updater another
 * stack (updater.h): it is taken from one moment of the batch to the next as a schedule says.
 *
 *     CPU                                    updater
 *                                            moments 1 .. before
 *     instructions 1 .. step of the call
 *                                            moments before + 1 .. before + during
 *     the rest of them
 *                                            the rest of them
 *
 * All schedules of this form are tried where "during" is one moment, or all that are left. The call
 * must reach the old target or the new one, with its arguments, and come back; int3 really traps,
 * and what patch_breakpoint_handle() makes of it really goes on. Detects an emulation that loses
 * the stack, a condition, or a result; an update that has returned while a call goes to the old
 * target. Could miss: stale bytes, of which the recorder knows (test_static_call), and a batch that
 * goes on while a CPU is inside the handler (test_breakpoint). */
#include "tests/host/calls.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"
#include "tests/host/single_step.h"
#include "tests/host/updater.h"

enum {
    MOMENTS_MAX = 64,
    STEPS_MAX = 1000,
    BRING_EVERY = 256, /* schedules: as long as the recorder's log has room */
};

/* An update: of the target, or, if that is the same, of the form. */
struct update {
    const struct tested_call *tested;
    enum static_call_form form, new_form;
    enum call_state from, to;
};

static const struct update *current;
static unsigned traps;

/* What the schedule says. */
static unsigned wanted_step, moments_during;
static bool step_was_reached;

#define X 0x12345
#define Y 0x6789a

static void wait_at_moment(enum patch_step step, enum patch_moment moment)
{
    (void)step;
    (void)moment;
    updater_pause();
}

static enum patch_status update_call(enum static_call_form form, enum call_state to)
{
    struct static_call *call = current->tested->call;

    return current->form != current->new_form
               ? static_call_set_form(call, form, NULL)
               : static_call_set(call, current->tested->targets[to], NULL);
}

static bool update_make(void)
{
    return update_call(current->new_form, current->to) == PATCH_OK;
}

/* The call as before the update. Rarely from scratch, which takes time. */
static void update_start(const struct update *update)
{
    static unsigned schedules;

    if (current != update || ++schedules % BRING_EVERY == 0) {
        current = update;
        calls_bring(update->tested, update->form, update->from);
        calls_watch(update->tested, update->new_form, update->to);
    } else {
        recorder.on_step = NULL;
        assert_int_equal(update_call(update->form, update->from), PATCH_OK);
    }
    recorder.on_step = wait_at_moment;
    updater_start(update_make);
}

static void trap(ucontext_t *context)
{
    traps++;
    recorder.traps++;
    assert_true(recorder_trap_signal(1, context));
}

static void step(void)
{
    if (single_step_count() == wanted_step) {
        step_was_reached = true;
        updater_go_on(moments_during);
        single_step_stop();
    }
}

/* One schedule. Returns false if the call has fewer instructions than wanted_step. */
static bool schedule_run(const struct update *update, unsigned caller, unsigned before)
{
    calling_function *function = (calling_function *)update->tested->callers[caller];
    bool was_done;
    unsigned reached;

    update_start(update);
    updater_go_on(before);
    was_done = updater.is_done;
    step_was_reached = false;
    calls_run_begin();
    single_step_begin(step);
    uint64_t result = function(X, Y); /* and nothing else, for its steps are many enough */
    single_step_end();
    reached = calls_run_judge(update->tested, caller, X, Y, result);
    if (reached != update->to && (was_done || reached != update->from)) {
        fail_msg("%s: caller %u reached %u on its way from %u to %u: %u moments before, %u more at "
                 "step %u",
                 update->tested->call->name, caller, reached, update->from, update->to, before,
                 moments_during, wanted_step);
    }
    updater_go_on(MOMENTS_MAX);
    assert_true(updater.is_done);
    calls_expect_execution(update->tested, update->to);
    return step_was_reached;
}

static unsigned count_moments(const struct update *update)
{
    update_start(update);
    updater_go_on(MOMENTS_MAX);
    assert_true(updater.is_done);
    assert_in_range(updater.moments, 6, MOMENTS_MAX - 1);
    return updater.moments;
}

/* All schedules of @update in which the updater then takes one step, or all of them. */
static void update_run(const struct update *update)
{
    current = NULL;
    unsigned all = count_moments(update) + 1; /* the last: the update returns */

    traps = 0;
    for (unsigned caller = BY_CALL; caller <= BY_JUMP_IF; caller++) {
        for (unsigned before = 0; before <= all; before++) {
            for (moments_during = 1; moments_during <= all; moments_during += all - 1) {
                bool longer = true;

                for (wanted_step = 1; longer; wanted_step++) {
                    longer = schedule_run(update, caller, before);
                    assert_true(wanted_step < STEPS_MAX);
                }
            }
        }
        schedule_run(update, caller, all); /* it has returned: the new target alone */
    }
    assert_in_range(traps, 100, UINT32_MAX);
    calls_expect_text(update->tested, update->new_form, update->to);
}

#define INLINE      STATIC_CALL_INLINE
#define OUT_OF_LINE STATIC_CALL_OUT_OF_LINE

static void call_between_two_targets_reaches_either(void **state)
{
    (void)state;
    const struct update update = {call_plain, INLINE, INLINE, STATE_A, STATE_B};
    const struct update out_of_line = {call_plain, OUT_OF_LINE, OUT_OF_LINE, STATE_A, STATE_B};

    update_run(&update);
    update_run(&out_of_line);
}

static void call_that_becomes_nothing_runs_or_does_not(void **state)
{
    (void)state;
    const struct update there = {call_nullable, INLINE, INLINE, STATE_A, STATE_EMPTY};
    const struct update back = {call_nullable, INLINE, INLINE, STATE_EMPTY, STATE_B};

    update_run(&there);
    update_run(&back);
}

static void call_that_becomes_zero_runs_or_returns_zero(void **state)
{
    (void)state;
    const struct update there = {call_zero, INLINE, INLINE, STATE_A, STATE_EMPTY};
    const struct update back = {call_zero, INLINE, INLINE, STATE_EMPTY, STATE_B};

    update_run(&there);
    update_run(&back);
}

static void change_of_form_is_not_noticed(void **state)
{
    (void)state;
    const struct update out = {call_zero, INLINE, OUT_OF_LINE, STATE_EMPTY, STATE_EMPTY};
    const struct update in = {call_nullable, OUT_OF_LINE, INLINE, STATE_EMPTY, STATE_EMPTY};

    update_run(&out);
    update_run(&in);
}

static const struct CMUnitTest tests[] = {
    CALL_TEST(call_between_two_targets_reaches_either),
    CALL_TEST(call_that_becomes_nothing_runs_or_does_not),
    CALL_TEST(call_that_becomes_zero_runs_or_returns_zero),
    CALL_TEST(change_of_form_is_not_noticed),
};

static int group_setup(void **state)
{
    single_step_set_breakpoint(trap);
    return calls_group_setup(state);
}

HOST_TEST_MAIN(tests, group_setup)
