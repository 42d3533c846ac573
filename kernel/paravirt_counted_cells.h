// SPDX-License-Identifier: MIT
/* Where the layer `counted` counts: one block of memory a CPU. Invariant: what has been called on a
 * CPU is counted in that CPU's block, each word by one atomic instruction, so that neither an
 * interrupt nor another CPU that reads, or clears, loses a count. The blocks are there while an op
 * is counted. Used by: paravirt_counted.c (which counts), paravirt_counted_memory.c (all else). */
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

/* Written while no op is counted. */
extern struct counted_cpu *counted_cpus[CPU_MAX];

/* By hash; atomic: NULL until a CPU puts a name there, which stays. */
extern const char *counted_lock_names[COUNTED_LOCK_NAMES];

/* enter() and leave() of the backend. */
const char *paravirt_counted_enter(enum paravirt_op_id op);
void paravirt_counted_leave(enum paravirt_op_id op);
