// SPDX-License-Identifier: MIT
/* The engine of `bench calls`: the table of forms, and their times. Invariant: all forms of a
 * setting are timed in turn, block by block, the loop without a call among them; a setting is left
 * as it was entered, whatever happens meanwhile. Called by: bench_calls.c, bench_seed_calls.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "kernel/bench_calls.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "kernel/trace_rings.h"
#include "patching/function_trace.h"
#include "patching/heap_sort.h"
#include "patching/indirect_thunk.h"
#include "patching/trace_ring.h"

const struct call_form call_forms[CALL_FORM_COUNT] = {
    [CALL_FORM_NOTHING] = {"nothing", NULL, call_loop_nothing},
    [CALL_FORM_DIRECT] = {"direct", NULL, call_loop_direct},
    [CALL_FORM_INLINE] = {"inline", NULL, call_loop_inline},
    [CALL_FORM_OUT_OF_LINE] = {"out-of-line", NULL, call_loop_out_of_line},
    [CALL_FORM_WRAPPER] = {"wrapper", NULL, call_loop_wrapper},
    [CALL_FORM_INDIRECT] = {"indirect", NULL, call_loop_indirect},
    [CALL_FORM_UNTRACED] = {"untraced", NULL, call_loop_entry},
    [CALL_FORM_THUNK_RETPOLINE] = {"thunk", "retpoline", call_loop_thunk},
    [CALL_FORM_THUNK_LFENCE] = {"thunk", "lfence", call_loop_thunk},
    [CALL_FORM_THUNK_NONE] = {"thunk", "none", call_loop_thunk},
    [CALL_FORM_TRACED] = {"traced", NULL, call_loop_entry},
};

/* Ticks of the blocks, by the shell's thread: one bench at a time. */
static uint64_t ticks[CALL_FORM_COUNT][CALL_BLOCKS_MAX];
static uint64_t empty_ticks[CALL_BLOCKS_MAX]; /* of the loop without a call, in the same setting */

static uint64_t block_run(call_loop *loop)
{
    uint64_t flags = interrupts_save();
    uint64_t start = read_tsc();

    loop(CALL_BLOCK);

    uint64_t end = read_tsc();

    interrupts_restore(flags);
    return end - start;
}

/* Times the forms from @first up to @end. A round without samples comes first: caches, and an
 * emulator's translations. */
static bool forms_time(struct shell_session *session, enum call_form_id first,
                       enum call_form_id end, uint32_t blocks)
{
    for (uint32_t round = 0; round <= blocks; round++) {
        uint32_t sample = round == 0 ? 0 : round - 1;

        empty_ticks[sample] = block_run(call_loop_nothing);
        for (enum call_form_id id = first; id < end; id++) {
            ticks[id][sample] = block_run(call_forms[id].loop);
        }
        if (shell_interrupted(session)) {
            console_print("bench calls: stopped by Ctrl-C\n");
            return false;
        }
    }
    return true;
}

static bool is_less(const void *left, const void *right)
{
    return *(const uint64_t *)left < *(const uint64_t *)right;
}

static int64_t ps_a_call(uint64_t block_ticks)
{
    return (int64_t)(clock_ticks_to_ns(block_ticks * 1000) / CALL_BLOCK);
}

/* Sorts the samples of form @id, those of the empty loop being sorted, and adds them up. */
static void form_sum_up(enum call_form_id id, uint32_t blocks, struct call_result *result)
{
    const uint64_t *sorted = ticks[id];
    uint32_t middle = (blocks - 1) / 2;
    int64_t loop_ps = ps_a_call(empty_ticks[middle]);

    heap_sort(ticks[id], blocks, sizeof(ticks[id][0]), is_less);
    result->calls = (uint64_t)blocks * CALL_BLOCK;
    result->min_ps = ps_a_call(sorted[0]) - loop_ps;
    result->p50_ps = ps_a_call(sorted[middle]) - loop_ps;
    result->p99_ps = ps_a_call(sorted[(blocks * 99 + 99) / 100 - 1]) - loop_ps;
    result->max_ps = ps_a_call(sorted[blocks - 1]) - loop_ps;
}

/* Times and counts the forms from @first up to @end, all of one setting. */
static bool forms_measure(struct shell_session *session, enum call_form_id first,
                          enum call_form_id end, uint32_t blocks, struct call_result *results)
{
    if (!forms_time(session, first, end, blocks)) {
        return false;
    }
    heap_sort(empty_ticks, blocks, sizeof(empty_ticks[0]), is_less);
    for (enum call_form_id id = first; id < end; id++) {
        form_sum_up(id, blocks, &results[id]);
        results[id].counts = call_steps_count(call_forms[id].loop);
    }
    return true;
}

static bool is_patched(enum patch_status status, const char *what, const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("bench calls: %s: %s\n", what, patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

static bool thunk_measure(struct shell_session *session, enum call_form_id id, uint32_t blocks,
                          struct call_result *results)
{
    enum mitigation before = mitigation_current();
    const char *name = call_forms[id].mitigation;
    struct patch_error error = {0};

    if (!is_patched(mitigation_set(mitigation_find(name), &error), name, &error)) {
        return false;
    }
    bool measured = forms_measure(session, id, id + 1, blocks, results);

    return is_patched(mitigation_set(before, &error), mitigation_name(before), &error) && measured;
}

static bool is_target(uint32_t index, void *argument)
{
    (void)argument;
    return function_trace_address(index) == (uint64_t)call_target_entry;
}

static bool target_trace(bool on)
{
    struct function_trace_cost cost;
    struct patch_error error = {0};

    return is_patched(function_trace_set(on, is_target, NULL, 0, &cost, &error), "tracing", &error);
}

/* The rings of `trace`, if there are any, take the records: as for any other function. */
static bool traced_measure(struct shell_session *session, uint32_t blocks,
                           struct call_result *results)
{
    bool own_rings = trace_rings_records() == 0;

    if (own_rings && !trace_rings_open(TRACE_RECORDS_DEFAULT)) {
        console_print("bench calls: out of memory for the records of traced calls\n");
        return false;
    }
    bool measured = target_trace(true);

    if (measured) {
        trace_recording_set(true);
        measured = forms_measure(session, CALL_FORM_TRACED, CALL_FORM_TRACED + 1, blocks, results);
        trace_rings_stop();
        measured = target_trace(false) && measured;
    }
    if (own_rings) {
        trace_rings_free();
    }
    return measured;
}

enum command_result call_forms_measure(struct shell_session *session, enum call_form_id end,
                                       uint32_t blocks, struct call_result *results)
{
    if (!call_loops_are_intact()) {
        return COMMAND_FAILED;
    }
    if (function_trace_count_on() != 0) {
        console_print("bench calls: functions are traced, which would be measured, too; first: "
                      "trace off\n");
        return COMMAND_FAILED;
    }
    bool done = forms_measure(session, 0, CALL_FORM_PLAIN_END, blocks, results);

    for (enum call_form_id id = CALL_FORM_PLAIN_END; id < end && done; id++) {
        done = id == CALL_FORM_TRACED ? traced_measure(session, blocks, results)
                                      : thunk_measure(session, id, blocks, results);
    }
    return done ? COMMAND_OK : COMMAND_FAILED;
}
