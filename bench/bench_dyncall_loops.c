// SPDX-License-Identifier: MIT
/* See bench_dyncall_loops.h. Called by: bench_dyncall*.c, by their addresses; tests/silicon. */
#include "bench/bench_dyncall_loops.h"

DEFINE_DYNAMIC_CALL_BY_HAND(bench_1, dispatched_function, 1);
DEFINE_DYNAMIC_CALL_BY_HAND(bench_2, dispatched_function, 2);
DEFINE_DYNAMIC_CALL_BY_HAND(bench_4, dispatched_function, 4);

#define DYNCALL_LOOP(slots)                                                                        \
    static DISPATCH_LOOP(                                                                          \
        loop_##slots, dynamic_call(bench_##slots, program->function, NULL, program->instructions))
DYNCALL_LOOP(1)
DYNCALL_LOOP(2)
DYNCALL_LOOP(4)

const struct dyncall_size dyncall_sizes[DYNCALL_SIZES] = {
    {&dynamic_call_bench_1, loop_1},
    {&dynamic_call_bench_2, loop_2},
    {&dynamic_call_bench_4, loop_4},
};
