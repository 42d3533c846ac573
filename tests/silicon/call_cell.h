// SPDX-License-Identifier: MIT
/* Blocks of calls in one of the ways that a table compares, and what one call took. Invariant: only
 * blocks during which nobody was preempted count. Used by: dispatch_row.c, dyncall_row.c,
 * measure_dispatch.c, measure_dyncall.c. Context: the main thread. */
#pragma once

#include "bench/bench_dispatch_loops.h"

#include <stdint.h>

enum {
    CALL_CELL_PASSES = 60, /* at most */
    CALL_CELL_BLOCKS = 2,  /* a pass */
};

struct call_cell {
    uint32_t count, discarded; /* blocks */
    double ns[CALL_CELL_PASSES * CALL_CELL_BLOCKS];
};

/* Times a few blocks of calls, behind as many calls as the predictors need, and keeps them. */
void call_cell_time(struct call_cell *cell, dispatch_loop *loop);

/* The same of loops_chain(), which makes no calls. */
void call_cell_time_chain(struct call_cell *cell);

/* ns a call: the mean of all blocks but the slowest tenth, less that of @nothing; negative if it
 * was not measured. */
double call_cell_ns(const struct call_cell *cell, const struct call_cell *nothing);

/* The same in cycles, of which @chain tells how long they are. */
double call_cell_cycles(const struct call_cell *cell, const struct call_cell *nothing,
                        const struct call_cell *chain);

/* Ends a line of a table for machines: the fields mitigation, n, discarded, ns, cycles. */
void call_cell_report(const struct call_cell *cell, const struct call_cell *nothing,
                      const struct call_cell *chain, const char *mitigation);

/* How often all cells of a table are timed, in turn: `--quick` takes fewer passes. */
unsigned call_cell_passes(void);
