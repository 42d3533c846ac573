// SPDX-License-Identifier: MIT
/* The loops of `bench calls`: one macro, so that the compiler writes the same loop around each form
 * of a call. Invariant: the loops differ in nothing but the call; tests/boot/test_bench_calls.py
 * compares the instructions of call_loop_direct and call_loop_inline. Called by:
 * bench_call_measure.c, by their addresses. */
#include "kernel/bench_calls.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "patching/lazy_call.h"
#include "patching/static_call.h"

DEFINE_STATIC_CALL_FORM(bench_call_inline, call_target, STATIC_CALL_INLINE);
DEFINE_STATIC_CALL_FORM(bench_call_out_of_line, call_target, STATIC_CALL_OUT_OF_LINE);
DEFINE_LAZY_CALL(bench_call_lazy, call_target);

/* @call uses i, and `target`, of which the compiler knows no more than that it is a pointer. */
#define CALL_LOOP(name, call)                                                                      \
    __attribute__((noinline, aligned(64))) void name(uint64_t calls)                               \
    {                                                                                              \
        call_target_function *target = call_target;                                                \
                                                                                                   \
        __asm__("" : "+r"(target));                                                                \
        for (uint64_t i = calls; i != 0; i--) {                                                    \
            call;                                                                                  \
        }                                                                                          \
    }

/* What the compiler must assume of any call. */
#define CALL_CLOBBERS "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc"

/* No call, and all that surrounds one: the argument in its register, i in one that is preserved. */
static inline __attribute__((always_inline)) void call_nothing(uint64_t argument)
{
    __asm__ volatile("" : "+D"(argument) : : CALL_CLOBBERS);
}

/* What C cannot say while indirect calls go through thunks: a call of the register itself. */
static inline __attribute__((always_inline)) void call_register(call_target_function *target,
                                                                uint64_t argument)
{
    __asm__ volatile("call *%[target]" : "+D"(argument) : [target] "r"(target) : CALL_CLOBBERS);
}

CALL_LOOP(call_loop_nothing, call_nothing(i))
CALL_LOOP(call_loop_direct, call_target(i))
CALL_LOOP(call_loop_inline, static_call(bench_call_inline)(i))
CALL_LOOP(call_loop_out_of_line, static_call(bench_call_out_of_line)(i))
CALL_LOOP(call_loop_wrapper, call_target_wrapper(i))
CALL_LOOP(call_loop_indirect, call_register(target, i))
CALL_LOOP(call_loop_thunk, target(i))
CALL_LOOP(call_loop_lazy, lazy_call(bench_call_lazy)(i))
CALL_LOOP(call_loop_entry, call_target_entry(i))

bool call_loops_are_intact(void)
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
            console_print("bench calls: %s is not as it was at boot; first: call %s call_target; "
                          "call %s %s\n",
                          call->name, call->name, call->name, expected[i].word);
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
