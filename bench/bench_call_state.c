// SPDX-License-Identifier: MIT
/* The static calls and the lazy call of the loops: whether they are as the table says, and brought
 * to where it wants them. Invariant: a failure is a message that names the call. Called by:
 * bench_call_measure.c. */
#include "bench/bench_calls.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"

bool call_loops_are_intact(const char *command)
{
    static const struct {
        struct static_call *call;
        enum static_call_form form;
        const char *word;
    } expected[] = {
        {&static_call_data_bench_call_inline, STATIC_CALL_INLINE, "inline"},
        {&static_call_data_bench_call_out_of_line, STATIC_CALL_OUT_OF_LINE, "out-of-line"},
    };

    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        struct static_call *call = expected[i].call;

        if (static_call_form(call) != expected[i].form ||
            static_call_target(call) != (static_call_function *)call_target) {
            console_print("%s: %s is not as it was at boot; first: call %s call_target; "
                          "call %s %s\n",
                          command, call->name, call->name, call->name, expected[i].word);
            return false;
        }
    }
    return true;
}

static bool lazy_is_done(enum patch_status status, const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("bench calls: bench_call_lazy: %s\n", patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

/* Collects before it forgets: a report still in its slot would be patched behind it. */
bool call_lazy_forget(void)
{
    struct lazy_pass pass;
    struct patch_error error = {0};

    return lazy_is_done(lazy_calls_patch_reported(&pass, &error), &error) &&
           lazy_is_done(lazy_call_forget(&lazy_call_data_bench_call_lazy, &error), &error);
}

bool call_lazy_converge(void)
{
    struct lazy_call_statistics statistics;
    struct lazy_pass pass;
    struct patch_error error = {0};

    call_loop_lazy(1);
    if (!lazy_is_done(lazy_calls_patch_reported(&pass, &error), &error)) {
        return false;
    }
    lazy_call_statistics(&lazy_call_data_bench_call_lazy, &statistics);
    if (statistics.patched != 1) {
        console_print("bench calls: bench_call_lazy: %u sites are patched, not 1\n",
                      statistics.patched);
    }
    return statistics.patched == 1;
}

uint64_t call_lazy_slow_calls(void)
{
    struct lazy_call_statistics statistics;

    lazy_call_statistics(&lazy_call_data_bench_call_lazy, &statistics);
    return statistics.slow_calls;
}
