// SPDX-License-Identifier: MIT
/* Loops around each form of a call, and what they call. Invariant: every form is the same loop,
 * made by the same compiler from one macro, around a call that ends in the same function; nothing
 * here needs the kernel. Callers: bench_call_measure.c; tests/silicon, on a real CPU. */
#pragma once

#include "patching/lazy_call.h"
#include "patching/static_call.h"

#include <stdint.h>

/* Makes @calls calls. Context: any. */
typedef void call_loop(uint64_t calls);

call_loop call_loop_nothing;     /* and what surrounds a call: its argument, preserved registers */
call_loop call_loop_direct;      /* of call_target */
call_loop call_loop_inline;      /* static call bench_call_inline */
call_loop call_loop_out_of_line; /* static call bench_call_out_of_line */
call_loop call_loop_wrapper;     /* of call_target_wrapper */
call_loop call_loop_indirect;    /* call *register */
call_loop call_loop_thunk;       /* what the compiler makes of an indirect call */
call_loop call_loop_lazy;        /* lazy call bench_call_lazy: one site */
call_loop call_loop_entry;       /* of call_target_entry */

/* bench_call_targets.c: what the loops call; they return their argument. */
typedef uint64_t call_target_function(uint64_t argument);

call_target_function call_target;         /* no nop at its entry */
call_target_function call_target_entry;   /* the same with the tracer's nop */
call_target_function call_target_wrapper; /* calls call_target, and returns */

DECLARE_STATIC_CALL(bench_call_inline, call_target);
DECLARE_STATIC_CALL(bench_call_out_of_line, call_target);
DECLARE_LAZY_CALL(bench_call_lazy, call_target);
