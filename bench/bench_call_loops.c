// SPDX-License-Identifier: MIT
/* The loops of `bench calls`: one macro, so that the compiler writes the same loop around each form
 * of a call. Invariant: the loops differ in nothing but the call; tests/boot/test_bench_calls.py
 * compares the instructions of call_loop_direct with those of others. Called by:
 * bench_call_measure.c, by their addresses; tests/silicon. */
#include "bench/bench_call_loops.h"

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
