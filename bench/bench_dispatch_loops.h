// SPDX-License-Identifier: MIT
/* Loops around a call of one of many programs, and the programs. Invariant: all loops are the same
 * loop, made by the same compiler from one macro: each takes the next program from the sequence,
 * loads its function and instructions, and differs from the others in nothing but the call; nothing
 * here needs the kernel. Callers: bench_dispatch.c; tests/silicon, on a real CPU. */
#pragma once

#include "bench/bench_dispatch_traffic.h"
#include "patching/xdp_call.h"

#include <stdint.h>

DECLARE_XDP_CALL(bench); /* the dispatcher of dispatch_loop_dispatched() */

/* One more than a dispatcher holds: the last one is what misses. By address, ascending. */
#define DISPATCH_PROGRAMS (DISPATCHER_ENTRY_MAX + 1)

/* Program @number, below DISPATCH_PROGRAMS; it returns its number. Context: any. */
const struct xdp_program *dispatch_program(uint32_t number);

/* What the loops call from now on, from the beginning. Context: one thread at a time. */
void dispatch_loops_set(const uint8_t numbers[DISPATCH_SEQUENCE]);

/* From the beginning of the sequence again. */
void dispatch_loops_rewind(void);

/* Makes @calls calls, the next ones of the sequence. Context: any; one thread at a time. */
typedef void dispatch_loop(uint64_t calls);

/* What the loops read. */
struct dispatch_sequence {
    uint64_t position; /* of the next call, ever growing */
    const struct xdp_program *programs[DISPATCH_SEQUENCE];
};
extern struct dispatch_sequence dispatch_sequence;

/* Defines a loop; @call uses `program`. */
#define DISPATCH_LOOP(name, call)                                                                  \
    __attribute__((noinline, aligned(64))) void name(uint64_t calls)                               \
    {                                                                                              \
        uint64_t position = dispatch_sequence.position;                                            \
                                                                                                   \
        for (uint64_t i = calls; i != 0; i--) {                                                    \
            const struct xdp_program *program =                                                    \
                dispatch_sequence.programs[position % DISPATCH_SEQUENCE];                          \
                                                                                                   \
            position++;                                                                            \
            call;                                                                                  \
        }                                                                                          \
        dispatch_sequence.position = position;                                                     \
    }

dispatch_loop dispatch_loop_nothing;    /* and what surrounds a call */
dispatch_loop dispatch_loop_direct;     /* of program 0, whatever the sequence says */
dispatch_loop dispatch_loop_indirect;   /* call *rdx */
dispatch_loop dispatch_loop_retpoline;  /* call __x86_indirect_thunk_rdx, as compilers do */
dispatch_loop dispatch_loop_dispatched; /* xdp_call(bench, ...) */
