// SPDX-License-Identifier: MIT
/* Loops around a dynamic call of one of many programs. Invariant: each is the loop of
 * bench_dispatch_loops.h, over the same sequence and the same programs, and differs from the others
 * there and here in nothing but the call; nothing here needs the kernel. Callers: bench_dyncall*.c;
 * tests/silicon, on a real CPU. */
#pragma once

#include "bench/bench_dispatch_loops.h"
#include "patching/dynamic_call.h"

#include <stdint.h>

/* A dynamic call for each number of slots that is measured: bench_1, bench_2, bench_4. */
enum { DYNCALL_SIZES = 3 };

struct dyncall_size {
    struct dynamic_call *call;
    dispatch_loop *loop; /* of that call */
};
extern const struct dyncall_size dyncall_sizes[DYNCALL_SIZES];

/* The k-th target, as a dynamic call sees it. */
static inline uint64_t dyncall_target(uint32_t number)
{
    return (uint64_t)dispatch_program(number)->function;
}
