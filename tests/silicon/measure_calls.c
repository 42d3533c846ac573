// SPDX-License-Identifier: MIT
/* What the forms of a call cost: the loops of the kernel's `bench calls`, compiled and linked as
 * there, thunks and link-time pass included, and patched by patching/. Always the same target, so
 * every branch is predicted but those that prevent it. Invariant: thunks, tracer and lazy call are
 * afterwards as before. Called by: main.c. */
#include "tests/silicon/measure.h"

#include "bench/bench_call_loops.h"
#include "patching/function_trace.h"
#include "patching/indirect_thunk.h"
#include "patching/platform.h"
#include "patching/trace_ring.h"
#include "tests/silicon/loops.h"
#include "tests/silicon/report.h"

#include <stdlib.h>

enum { RECORDS = 4096 }; /* as many as the kernel's tracer keeps by default */

static void row(const char *what, call_loop *loop)
{
    loops_row(what, loop, call_loop_nothing);
}

static void thunk_row(const char *what, enum mitigation mitigation)
{
    if (mitigation_set(mitigation, NULL) != PATCH_OK) {
        report_note("calls: not measured: %s: the thunks could not be switched", what);
        return;
    }
    row(what, call_loop_thunk);
}

static void lazy_row(const char *what)
{
    struct lazy_call *call = &lazy_call_data_bench_call_lazy;
    struct lazy_call_statistics before, after;
    struct lazy_pass pass;

    call_loop_lazy(1);
    if (lazy_calls_patch_reported(&pass, NULL) != PATCH_OK || pass.patched != 1) {
        report_note("calls: not measured: %s: the site was not found, or not patched", what);
        return;
    }
    lazy_call_statistics(call, &before);
    row(what, call_loop_lazy);
    lazy_call_statistics(call, &after);
    if (after.slow_calls != before.slow_calls || lazy_call_forget(call, NULL) != PATCH_OK) {
        report_note("calls: %s: some calls went the slow way, or the site could not be taken back",
                    what);
    }
}

static bool is_target(uint32_t index, void *argument)
{
    (void)argument;
    return function_trace_address(index) == (uint64_t)call_target_entry;
}

static bool target_trace(bool on)
{
    struct function_trace_cost cost;
    struct patch_error error;

    return function_trace_set(on, is_target, NULL, 0, &cost, &error) == PATCH_OK &&
           cost.functions == 1;
}

/* One thread, so nobody is inside the recorder when the ring comes and goes. */
static void traced_row(const char *what)
{
    struct trace_event *events = calloc(RECORDS, sizeof(*events));

    if (events == NULL || !target_trace(true)) {
        report_note("calls: not measured: %s: no memory, or the entry could not be patched", what);
        free(events);
        return;
    }
    trace_ring_set(platform_cpu_index(), events, RECORDS);
    trace_recording_set(true);
    row(what, call_loop_entry);
    trace_recording_set(false);
    if (trace_ring_newest(platform_cpu_index()) == 0) {
        report_note("calls: %s: nothing was recorded", what);
    }
    trace_ring_set(platform_cpu_index(), NULL, 0);
    free(events);
    if (!target_trace(false)) {
        report_note("calls: %s: the entry could not be taken back", what);
    }
}

void measure_calls(void)
{
    loops_begin("silicon.call", "Calls: one call and return, net of the loop");
    row("direct", call_loop_direct);
    row("static, in line", call_loop_inline);
    row("static, out of line", call_loop_out_of_line);
    row("through a wrapper", call_loop_wrapper);
    row("indirect, no thunk", call_loop_indirect);
    thunk_row("thunk: jmp", MITIGATION_NONE);
    thunk_row("thunk: lfence; jmp", MITIGATION_LFENCE);
    thunk_row("thunk: retpoline", MITIGATION_RETPOLINE); /* as at first */
    lazy_row("lazy, converged");
    row("entry, not traced", call_loop_entry);
    traced_row("entry, traced");
}
