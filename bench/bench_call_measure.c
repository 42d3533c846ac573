// SPDX-License-Identifier: MIT
/* The engine of `bench calls`: the table of forms, and their times. Invariant: all forms of a
 * setting are timed in turn, block by block, the loop without a call among them; a setting is left
 * as it was entered, whatever happens meanwhile. Called by: bench_calls.c, bench_seed_calls.c. */
#include "bench/bench_calls.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "kernel/patch_worker.h"
#include "kernel/trace_rings.h"
#include "patching/function_trace.h"
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
    [CALL_FORM_LAZY] = {"lazy", NULL, call_loop_lazy},
    [CALL_FORM_LAZY_FIRST] = {"lazy-first", NULL, call_loop_lazy},
    [CALL_FORM_TRACED] = {"traced", NULL, call_loop_entry},
};

/* Ticks of the blocks, by the shell's thread: one bench at a time. */
static uint64_t ticks[CALL_FORM_COUNT][CALL_BLOCKS_MAX];
static uint64_t empty_ticks[CALL_BLOCKS_MAX]; /* of the loop without a call, in the same setting */

/* Calls between two looks at the clock. */
static uint64_t block_calls(enum call_form_id id)
{
    return id == CALL_FORM_LAZY_FIRST ? 1 : CALL_BLOCK;
}

/* Times the forms from @first up to @end. Returns the number of samples; 0: it could not be done.
 */
static uint32_t forms_time(struct shell_session *session, const struct call_request *request,
                           enum call_form_id first, enum call_form_id end)
{
    struct bench_rounds rounds =
        bench_rounds_begin(session, request->command, request->blocks, request->budget_ns);

    while (bench_rounds_next(&rounds)) {
        if (first == CALL_FORM_LAZY_FIRST && !call_lazy_forget()) {
            return 0;
        }
        empty_ticks[rounds.block] = bench_block_run(call_loop_nothing, block_calls(first));
        for (enum call_form_id id = first; id < end; id++) {
            ticks[id][rounds.block] = bench_block_run(call_forms[id].loop, block_calls(id));
        }
    }
    return rounds.blocks;
}

/* Sorts the samples of form @id, those of the empty loop being sorted, and adds them up. */
static void form_sum_up(enum call_form_id id, uint32_t blocks, struct call_result *result)
{
    bench_blocks_sort(ticks[id], blocks);
    result->mitigation = call_forms[id].mitigation;
    result->times = bench_blocks_sum_up(ticks[id], empty_ticks, blocks, block_calls(id));
}

static struct call_counts loop_count(enum call_form_id id)
{
    if (id != CALL_FORM_LAZY_FIRST) {
        return call_steps_count(call_forms[id].loop);
    }
    if (!call_lazy_forget()) {
        return (struct call_counts){.is_known = false};
    }
    return call_steps_count_first(call_loop_lazy);
}

/* Times and counts the forms from @first up to @end, all of one setting. */
static bool forms_measure(struct shell_session *session, const struct call_request *request,
                          enum call_form_id first, enum call_form_id end,
                          struct call_result *results)
{
    uint32_t blocks = forms_time(session, request, first, end);

    if (blocks == 0) {
        return false;
    }
    bench_blocks_sort(empty_ticks, blocks);
    for (enum call_form_id id = first; id < end; id++) {
        form_sum_up(id, blocks, &results[id]);
        results[id].counts = loop_count(id);
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

static bool thunk_measure(struct shell_session *session, const struct call_request *request,
                          enum call_form_id id, struct call_result *results)
{
    enum mitigation before = mitigation_current();
    const char *name = call_forms[id].mitigation;
    struct patch_error error = {0};

    if (!is_patched(mitigation_set(mitigation_find(name), &error), name, &error)) {
        return false;
    }
    bool measured = forms_measure(session, request, id, id + 1, results);

    return is_patched(mitigation_set(before, &error), mitigation_name(before), &error) && measured;
}

/* First calls go through the thunk of the mitigation in force. */
static bool lazy_measure(struct shell_session *session, const struct call_request *request,
                         enum call_form_id id, struct call_result *results)
{
    bool is_first = id == CALL_FORM_LAZY_FIRST;

    patch_worker_hold();

    bool measured = call_lazy_forget() && (is_first || call_lazy_converge());
    uint64_t slow_calls = call_lazy_slow_calls();

    measured = measured && forms_measure(session, request, id, id + 1, results);
    if (measured && !is_first && call_lazy_slow_calls() != slow_calls) {
        console_print("bench calls: %llu calls of a site that was found went the slow way\n",
                      (unsigned long long)(call_lazy_slow_calls() - slow_calls));
        measured = false;
    }
    if (is_first) {
        results[id].mitigation = mitigation_name(mitigation_current());
    }
    measured = call_lazy_forget() && measured;
    patch_worker_release();
    return measured;
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

static bool traced_forms_measure(struct shell_session *session, const struct call_request *request,
                                 struct call_result *results)
{
    if (!trace_rings_open(TRACE_RECORDS_DEFAULT)) {
        console_print("bench calls: out of memory for the records of traced calls\n");
        return false;
    }
    bool measured = target_trace(true);

    if (measured) {
        trace_recording_set(true);
        measured = forms_measure(session, request, CALL_FORM_TRACED, CALL_FORM_TRACED + 1, results);
        trace_recording_set(false);
        measured = target_trace(false) && measured;
    }
    return measured;
}

/* The records go into rings of their own: what the user recorded is kept. */
static bool traced_measure(struct shell_session *session, const struct call_request *request,
                           struct call_result *results)
{
    unsigned silent;

    if (!trace_rings_put_aside(&silent)) {
        console_print("bench calls: cpu %u does not answer\n", silent);
        return false;
    }
    bool measured = traced_forms_measure(session, request, results);

    trace_rings_put_back();
    return measured;
}

static bool prepared_measure(struct shell_session *session, const struct call_request *request,
                             enum call_form_id id, struct call_result *results)
{
    switch (id) {
    case CALL_FORM_LAZY:
    case CALL_FORM_LAZY_FIRST:
        return lazy_measure(session, request, id, results);
    case CALL_FORM_TRACED:
        return traced_measure(session, request, results);
    default:
        return thunk_measure(session, request, id, results);
    }
}

enum command_result call_forms_measure(struct shell_session *session,
                                       const struct call_request *request,
                                       struct call_result *results)
{
    if (!call_loops_are_intact(request->command)) {
        return COMMAND_FAILED;
    }
    bool done = forms_measure(session, request, 0, CALL_FORM_PLAIN_END, results);

    for (enum call_form_id id = CALL_FORM_PLAIN_END; id < request->end && done; id++) {
        done = prepared_measure(session, request, id, results);
    }
    return done ? COMMAND_OK : COMMAND_FAILED;
}
