// SPDX-License-Identifier: MIT
/* Where the layer `counted` counts: one block of memory a CPU. Invariant: what has been called on a
 * CPU is counted in that CPU's block, each word by one atomic instruction, so that neither an
 * interrupt nor another CPU that reads, or clears, loses a count. The blocks are there while an op
 * is counted. Used by: paravirt_counted.c (which counts), paravirt_counted_memory.c (all else).
 *
 * A block is given back when no site calls the layer any more. Somebody may still be on the way
 * back from what is below: an idle CPU that halts, for whom no grace period waits.
 *
 *     who counts                            who gives back
 *     inside++                              block = NULL       (both full barriers)
 *     block == NULL?                        inside != 0?
 *     counts, unless so                     waits, while so
 *     inside--  (release)                   frees the block    (behind an acquire)
 *
 * One of the two sees the other. */
#pragma once

#include "arch/paravirt_table.h"
#include "arch/percpu.h"
#include "patching/histogram.h"

#include <stdint.h>

enum {
    COUNTED_LOCK_NAMES = 128,           /* a power of two */
    COUNTED_OTHERS = COUNTED_LOCK_NAMES /* the row of all names that found no place */
};

/* All zero: nothing counted. All atomic, relaxed: figures, which order nothing. */
struct counted_times {
    uint64_t count;
    uint64_t ticks;    /* sum */
    uint64_t longest;  /* ticks */
    uint64_t shortest; /* inverted: so it begins at 0 and rises, as `longest` does */
    uint32_t buckets[HISTOGRAM_BUCKETS]; /* histogram_bucket(ticks) */
};

struct counted_lock {
    uint64_t taken;
    uint64_t contended;
    uint64_t waited_ticks; /* sum */
    uint64_t longest;      /* ticks */
};

struct counted_cpu {
    struct counted_times ops[PARAVIRT_OP_COUNT];
    struct counted_lock locks[COUNTED_OTHERS + 1]; /* by index of the name */
};

struct counted_place {
    _Alignas(64) struct counted_cpu *block; /* atomic; NULL: nothing is counted */
    uint32_t inside;                        /* atomic: those who count at this moment */
};
extern struct counted_place counted_places[CPU_MAX];

/* By hash; atomic: NULL until a CPU puts a name there, which stays. */
extern const char *counted_lock_names[COUNTED_LOCK_NAMES];

/* enter() and leave() of the backend. */
const char *paravirt_counted_enter(enum paravirt_op_id op);
void paravirt_counted_leave(enum paravirt_op_id op);
