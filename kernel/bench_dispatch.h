// SPDX-License-Identifier: MIT
/* `bench dispatch`: what a call of one of many programs costs, by the shape of the dispatcher.
 * Invariant: the dispatcher `bench` is empty before and afterwards, and has the shape it had; what
 * the loop costs without a call is measured beside each way to call, and subtracted. Callers:
 * bench_dispatch.c. */
#pragma once

#include "kernel/bench_blocks.h"
#include "kernel/bench_dispatch_loops.h"
#include "kernel/shell.h"
#include "kernel/table.h"

#include <stdbool.h>
#include <stdint.h>

enum dispatch_way {
    DISPATCH_WAY_NOTHING, /* the loop alone */
    DISPATCH_WAY_DIRECT,  /* the target is known; for constant traffic only */
    DISPATCH_WAY_INDIRECT,
    DISPATCH_WAY_THUNK, /* what the dispatcher replaces: under the mitigation in force */
    DISPATCH_WAY_DISPATCHED,
    DISPATCH_WAY_COUNT
};

/* One way. */
struct dispatch_result {
    struct bench_times times;
    bool is_counted;     /* false: a step was lost, or an instruction not known */
    int64_t thousandths; /* instructions a call, on average over the sequence, times 1000 */
};

#define DISPATCH_BLOCK      1024u /* calls between two looks at the clock; whole round robins */
#define DISPATCH_BLOCKS_MAX 1000u

struct dispatch_request {
    const char *command;
    uint32_t blocks;    /* of each way, 1 at least */
    uint64_t budget_ns; /* but after this time no more; 0: no budget */
};

/* bench_dispatch_measure.c: times the ways of the set @ways (1 << DISPATCH_WAY_..., the loop alone
 * always), in turn block by block, for the sequence @numbers of a dispatcher with @entries; counts
 * their instructions. Context: thread. Returns false on Ctrl-C, having said so. */
bool dispatch_ways_measure(struct shell_session *session, const struct dispatch_request *request,
                           unsigned ways, const uint8_t numbers[DISPATCH_SEQUENCE],
                           struct dispatch_result results[DISPATCH_WAY_COUNT]);

/* bench_dispatch_update.c: brings a program into the dispatcher of @entries and takes it out again,
 * @updates times, other CPUs idle, then busy with calls; prints rows of what that took. Returns
 * false, having said why. Context: thread. */
struct dispatch_state;
bool dispatch_updates_run(struct shell_session *session, struct dispatch_state *state,
                          uint32_t entries, uint64_t updates, struct table *table);
