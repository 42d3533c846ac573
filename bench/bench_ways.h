// SPDX-License-Identifier: MIT
/* Ways to call one of many targets, compared in the loops of bench_dispatch_loops.h. Invariant:
 * what the loop costs without a call is measured beside each way to call, and subtracted. Callers:
 * bench_dispatch.c, bench_dyncall.c. */
#pragma once

#include "bench/bench_blocks.h"
#include "bench/bench_dispatch_loops.h"
#include "kernel/shell.h"

#include <stdbool.h>
#include <stdint.h>

enum bench_way {
    BENCH_WAY_NOTHING, /* the loop alone */
    BENCH_WAY_DIRECT,  /* the target is known; for constant traffic only */
    BENCH_WAY_INDIRECT,
    BENCH_WAY_THUNK, /* what the others replace: under the mitigation in force */
    BENCH_WAY_BENCHED,
    BENCH_WAYS
};

/* "direct", "indirect", "retpoline" ("thunk" under another mitigation). */
const char *bench_way_name(enum bench_way way);

/* One way. */
struct bench_way_result {
    struct bench_times times;
    bool is_counted;     /* false: a step was lost, or an instruction not known */
    int64_t thousandths; /* instructions a call, on average over the sequence, times 1000 */
};

#define BENCH_WAYS_BLOCK      1024u /* calls between two looks at the clock; whole round robins */
#define BENCH_WAYS_BLOCKS_MAX 1000u

struct bench_ways_request {
    const char *command;
    uint32_t blocks;        /* of each way, 1 at least */
    uint64_t budget_ns;     /* but after this time no more; 0: no budget */
    dispatch_loop *benched; /* that of BENCH_WAY_BENCHED */
};

/* Times the ways of the set @ways (1 << BENCH_WAY_..., the loop alone always), in turn block by
 * block, for the sequence @numbers; counts their instructions. Context: thread. Returns false on
 * Ctrl-C, having said so. */
bool bench_ways_measure(struct shell_session *session, const struct bench_ways_request *request,
                        unsigned ways, const uint8_t numbers[DISPATCH_SEQUENCE],
                        struct bench_way_result results[BENCH_WAYS]);

/* The columns instructions, ns, thunk_ns, and those of bench_times_print(). */
void bench_way_print(struct table *table, const struct bench_way_result *result,
                     const struct bench_way_result *thunk);
