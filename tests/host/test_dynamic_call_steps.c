// SPDX-License-Identifier: MIT
/* A CPU that runs through a dynamic call while its slots change. The CPU is this thread, the
 * updater a second stack: it is taken from one moment of the change to the next wherever a schedule
 * says so. Moments are those of both batches, and the grace period.
 *
 *     CPU                                    updater
 *                                            moments 1 .. before
 *     instructions 1 .. step of the call
 *                                            moments before + 1 .. before + during
 *     the rest of them                       (but not past a grace period that the call is in)
 *                                            the rest of them
 *
 * All schedules of this form are tried where "during" is one moment, or all there are, and the step
 * is any up to the function's first: so the CPU is preempted between gate and comparison, between
 * comparison and call, and behind it. It must reach the function that it was given, with its
 * arguments, and come back; int3 really traps, and what patch_breakpoint_handle() makes of it
 * really goes on, flags included. Detects a gate that is not closed, or open too early; a grace
 * period that is missing, or in the wrong place; values in memory that change with somebody in the
 * chain, or behind the gate; emulation that loses rax or flags. Could miss: stale bytes, of which
 * the recorder knows (test_batch), and more than one preemption of a call. */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"
#include "tests/host/single_step.h"
#include "tests/host/updater.h"

#include <string.h>

enum {
    MOMENTS_MAX = 1000,
    STEPS_MAX = 1000,
    RESET_EVERY = 100,  /* schedules: as long as the recorder's log has room */
    TARGETS_CALLED = 2, /* a, that a slot names, and b, that another will name */
};

struct update {
    const struct dynamic_subject *subject;
    struct dynamic_call_form from, to;
    bool goes_through; /* before: a trial of the chain */
    uint64_t forgets;  /* not a change to @to, but dynamic_calls_forget() of this */
};

static const struct update *current;
static bool updater_was_done_inside; /* while the CPU was in the call */
static unsigned traps;

static bool cpu_is_calling;
static bool cpu_is_waited_for; /* it was calling when the grace period began */

/* What the schedule says. */
static unsigned wanted_step, moments_during;
static bool step_was_reached;

/* Under protocol `stop` no CPU but the updater's runs between [ and ]. */
static bool cpus_are_stopped(void)
{
    const char *stop = strrchr(recorder_log(), '[');

    return stop != NULL && strchr(stop, ']') == NULL;
}

static void wait_at_step(enum patch_step step, enum patch_moment moment)
{
    (void)step;
    (void)moment;
    if (!cpus_are_stopped()) {
        updater_pause();
    }
}

static void wait_in_grace_period(void)
{
    cpu_is_waited_for = cpu_is_calling;
    updater_pause();
}

static bool update_make(void)
{
    enum patch_status status =
        current->forgets != 0 ? dynamic_calls_forget(current->forgets, NULL)
                              : dynamic_call_set_form(current->subject->call, &current->to, NULL);

    return status == PATCH_OK;
}

/* The call as before the update. */
static void update_start(void)
{
    static unsigned schedules;

    if (++schedules % RESET_EVERY == 0) {
        dynamics_begin();
    }
    recorder.on_step = NULL;
    recorder.on_synchronize = NULL;
    dynamics_bring(current->subject, &current->from);
    assert_true(dynamic_call_set_through(current->subject->call, current->goes_through));
    recorder.on_step = wait_at_step;
    recorder.on_synchronize = wait_in_grace_period;
    cpu_is_waited_for = false;
    updater_start(update_make);
}

static void update_go_on(unsigned moments)
{
    for (; moments > 0 && !cpu_is_waited_for; moments--) {
        updater_go_on(1);
    }
}

static void trap(ucontext_t *context)
{
    traps++;
    assert_true(recorder_trap_signal(1, context));
}

static void step(void)
{
    if (single_step_count() == wanted_step) {
        step_was_reached = dynamics_reached() == SUBJECT_TARGETS;
        update_go_on(moments_during);
        updater_was_done_inside = updater.is_done;
        single_step_stop();
    }
}

/* One schedule. Returns false if the function was there before wanted_step. */
static bool schedule_run(enum dynamic_caller caller, unsigned target, unsigned before)
{
    const struct dynamic_subject *subject = current->subject;
    dynamic_calling *calling = subject->callers[caller];
    dynamic_function *function = subject->targets[target];

    update_start();
    update_go_on(before);
    step_was_reached = false;
    updater_was_done_inside = false;
    dynamics_run_begin();
    cpu_is_calling = true;
    single_step_begin(step);
    uint64_t result = calling(function, DYNAMIC_X, DYNAMIC_Y); /* and nothing else */
    single_step_end();
    cpu_is_calling = false;
    cpu_is_waited_for = false;
    if (!dynamics_run_judge(subject, caller, target, result)) {
        fail_msg("%s: caller %u reached %u instead of %u: %u moments before, %u more at step %u",
                 subject->call->name, caller, dynamics_reached(), target, before, moments_during,
                 wanted_step);
    }
    update_go_on(MOMENTS_MAX);
    assert_true(updater.is_done);
    return step_was_reached;
}

static unsigned count_moments(void)
{
    update_start();
    update_go_on(MOMENTS_MAX);
    assert_true(updater.is_done);
    return updater.moments;
}

static void schedules_run(enum dynamic_caller caller, unsigned before, unsigned during)
{
    moments_during = during;
    for (unsigned target = 0; target < TARGETS_CALLED; target++) {
        bool longer = true;

        for (wanted_step = 1; longer; wanted_step++) {
            longer = schedule_run(caller, target, before);
            assert_true(wanted_step < STEPS_MAX);
        }
    }
}

/* All schedules of @update by one caller in which the updater then takes all steps, or one. */
static void caller_run(const struct update *update, enum dynamic_caller caller, bool takes_one)
{
    current = update;
    unsigned all = count_moments() + 1; /* the last: the change returns */

    for (unsigned before = 0; before <= all; before++) {
        schedules_run(caller, before, all);
        if (takes_one) {
            schedules_run(caller, before, 1);
        }
    }
    recorder.on_step = NULL;
    recorder.on_synchronize = NULL;
    dynamics_expect_text(update->subject, &update->to);
}

static void update_run(const struct update *update)
{
    caller_run(update, BY_CALL, true);
    caller_run(update, BY_TAIL, false);
}

#define IMMEDIATE DYNAMIC_COMPARE_IMMEDIATE
#define MEMORY    DYNAMIC_COMPARE_MEMORY

/* One slot, or two. */
static struct update update_of(const char *from, enum dynamic_compare from_compare, const char *to,
                               enum dynamic_compare to_compare)
{
    const struct dynamic_subject *subject = strlen(from) == 1 ? subject_one : subject_two;

    return (struct update){.subject = subject,
                           .from = dynamics_form(subject, from, from_compare, true, false),
                           .to = dynamics_form(subject, to, to_compare, true, false)};
}

static void calls_arrive_while_values_in_the_text_change(void **state)
{
    const struct update update = update_of("ab", IMMEDIATE, "bc", IMMEDIATE);

    (void)state;
    traps = 0;
    update_run(&update);
    assert_in_range(traps, 100, UINT32_MAX);
}

static void calls_arrive_while_values_in_memory_change(void **state)
{
    const struct update update = update_of("ab", MEMORY, "bc", MEMORY);

    (void)state;
    update_run(&update);
}

static void calls_arrive_while_slots_empty_and_fill(void **state)
{
    const struct update there = update_of("a.", IMMEDIATE, ".b", IMMEDIATE);
    const struct update back = update_of(".b", MEMORY, "a.", MEMORY);

    (void)state;
    caller_run(&there, BY_CALL, false);
    caller_run(&back, BY_CALL, false);
}

static void calls_arrive_while_the_kind_of_comparison_changes(void **state)
{
    const struct update there = update_of("ab", IMMEDIATE, "ba", MEMORY);
    const struct update back = update_of("ab", MEMORY, "ca", IMMEDIATE);

    (void)state;
    caller_run(&there, BY_TAIL, false);
    caller_run(&back, BY_CALL, false);
}

static void calls_arrive_while_slots_change_and_the_gate_closes(void **state)
{
    struct update update = update_of("a", MEMORY, "b", IMMEDIATE);

    (void)state;
    update.to.is_open = false;
    update.to.is_watched = true;
    caller_run(&update, BY_CALL, false);
}

/* Behind a closed gate, through the chain all the same. */
static void calls_of_a_trial_arrive_while_slots_change(void **state)
{
    struct update update = update_of("a", MEMORY, "b", MEMORY);

    (void)state;
    update.goes_through = true;
    update.from.is_open = false;
    update.from.is_watched = true;
    update.to.is_watched = true;
    caller_run(&update, BY_CALL, false);
}

static void calls_arrive_while_the_gate_opens_and_closes(void **state)
{
    struct update update = update_of("a", IMMEDIATE, "a", IMMEDIATE);

    (void)state;
    update.from.is_open = false;
    update.from.is_watched = true;
    caller_run(&update, BY_CALL, true);
    update.from.is_open = true;
    update.to.is_open = false;
    caller_run(&update, BY_CALL, true);
}

/* Of one site after the other there are many moments. */
static void calls_arrive_by_every_protocol(void **state)
{
    const struct update text = update_of("a", IMMEDIATE, "b", IMMEDIATE);
    const struct update memory = update_of("a", MEMORY, "b", IMMEDIATE);

    (void)state;
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_NAIVE; id++) {
        assert_int_equal(patch_protocol_set_default(id, 0), PATCH_OK);
        caller_run(&text, BY_CALL, false);
        caller_run(&memory, BY_TAIL, false);
    }
}

static bool is_counted(uint64_t target)
{
    for (unsigned row = 0; row < DYNAMIC_ROWS; row++) {
        if (dynamic_counts[0].rows[row].target == target) {
            return true;
        }
    }
    return false;
}

/* A call that is on its way to a target when that is forgotten, in any form of the call. By the
 * time forgetting returns the call is over, and has not counted its target again behind it. */
static void forgotten_target_is_left_and_counted_no_more(void **state)
{
    (void)state;
    for (unsigned bits = 0; bits < 4; bits++) {
        struct update update = update_of("a", IMMEDIATE, "b", IMMEDIATE);
        struct dynamic_call *call = update.subject->call;

        update.from.is_open = bits & 1;
        update.from.is_watched = true;
        update.forgets = (uint64_t)update.subject->targets[0];
        if (bits & 2) {
            update.from.targets.slot[0] = (uint64_t)update.subject->targets[1];
        }
        current = &update;
        moments_during = MOMENTS_MAX;
        dynamic_call_give_memory(call, dynamic_counts, DYNAMIC_CPUS);
        step_was_reached = true;
        for (wanted_step = 1; step_was_reached; wanted_step++) {
            schedule_run(BY_CALL, 0, 0);
            assert_false(updater_was_done_inside);
            assert_false(is_counted(update.forgets));
        }
    }
}

/* A target that changes the call it was called through, and waits for a grace period there: as it
 * may block inside, nobody waits for it. Its caller goes on behind a call that leads elsewhere. */
static struct dynamic_call_form form_from_inside;
static bool was_inside;

static uint64_t change_from_inside(uint64_t x, uint64_t y)
{
    was_inside = true;
    dynamics_bring(subject_two, &form_from_inside);
    return x ^ y;
}

static void target_may_change_the_call_it_was_called_through(void **state)
{
    const uint64_t changer = (uint64_t)change_from_inside;

    (void)state;
    recorder.on_step = NULL;
    recorder.on_synchronize = NULL;
    for (unsigned i = 0; i < 4 * DYNAMIC_CALLERS; i++) {
        struct dynamic_call_form form =
            dynamics_form(subject_two, "ab", (enum dynamic_compare)(i & 1), true, false);

        form.targets.slot[i / 2 % 2] = changer;
        form_from_inside = dynamics_form(subject_two, "bc", IMMEDIATE, true, true);
        dynamics_begin();
        dynamics_bring(subject_two, &form);
        was_inside = false;
        assert_int_equal(subject_two->callers[i / 4]((dynamic_function *)change_from_inside, 5, 6),
                         5 ^ 6);
        assert_true(was_inside);
        dynamics_expect_text(subject_two, &form_from_inside);
        dynamics_expect_all_calls(subject_two);
    }
}

static int teardown(void **state)
{
    recorder.on_step = NULL;
    recorder.on_synchronize = NULL;
    if (patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0) != PATCH_OK) {
        return -1;
    }
    return dynamics_teardown(state);
}

#define STEP_TEST(function) cmocka_unit_test_setup_teardown(function, dynamics_setup, teardown)

static const struct CMUnitTest tests[] = {
    STEP_TEST(calls_arrive_while_values_in_the_text_change),
    STEP_TEST(calls_arrive_while_values_in_memory_change),
    STEP_TEST(calls_arrive_while_slots_empty_and_fill),
    STEP_TEST(calls_arrive_while_the_kind_of_comparison_changes),
    STEP_TEST(calls_arrive_while_slots_change_and_the_gate_closes),
    STEP_TEST(calls_of_a_trial_arrive_while_slots_change),
    STEP_TEST(calls_arrive_while_the_gate_opens_and_closes),
    STEP_TEST(calls_arrive_by_every_protocol),
    STEP_TEST(forgotten_target_is_left_and_counted_no_more),
    STEP_TEST(target_may_change_the_call_it_was_called_through),
};

static int group_setup(void **state)
{
    single_step_set_breakpoint(trap);
    return dynamics_group_setup(state);
}

HOST_TEST_MAIN(tests, group_setup)
