// SPDX-License-Identifier: MIT
/* One row of the table of dynamic calls: one sequence of targets, and what a call costs in each of
 * the ways that are compared. Invariant: a figure is that of call_cell.h; the slots of the pinned
 * ways name the hottest targets, the hottest first. Used by: measure_dyncall.c. Context: the main
 * thread. */
#pragma once

#include "bench/bench_dyncall_loops.h"
#include "bench/bench_dyncall_sequence.h"
#include "tests/silicon/call_cell.h"

#include <stdbool.h>
#include <stdint.h>

enum dyncall_way {
    DYNCALL_CYCLES,  /* no call: how long a cycle of the core is */
    DYNCALL_NOTHING, /* the loop alone */
    DYNCALL_DIRECT,  /* of one target: other sequences have none */
    DYNCALL_INDIRECT,
    DYNCALL_RETPOLINE,
    DYNCALL_IMMEDIATE, /* pinned: of each size */
    DYNCALL_MEMORY = DYNCALL_IMMEDIATE + DYNCALL_SIZES,
    DYNCALL_OFF = DYNCALL_MEMORY + DYNCALL_SIZES, /* gate closed; the largest size, as below */
    DYNCALL_LEARNING,                             /* the same, and watched */
    DYNCALL_WATCHED,                              /* gate open, as IMMEDIATE, and watched */
    DYNCALL_AUTO,                                 /* what learning chose */
    DYNCALL_WAYS
};

const char *dyncall_way_name(enum dyncall_way way);

struct dyncall_row {
    enum dyncall_sequence sequence;
    struct dynamic_targets hottest;
    bool is_chosen; /* the next one is valid: */
    struct dynamic_call_form chosen;
    struct call_cell cells[DYNCALL_WAYS];
};

/* Makes the row's sequence that of the loops. The two below: that has been done. */
void dyncall_row_prepare(struct dyncall_row *row);

/* Lets learning decide on the form of DYNCALL_AUTO. */
void dyncall_row_choose(struct dyncall_row *row);

/* Times a few blocks of each way, and keeps them. */
void dyncall_row_time(struct dyncall_row *row);

bool dyncall_row_has(const struct dyncall_row *row, enum dyncall_way way);

/* Of a call, net of the loop; negative if it was not measured. */
double dyncall_row_ns(const struct dyncall_row *row, enum dyncall_way way);
double dyncall_row_cycles(const struct dyncall_row *row, enum dyncall_way way);

/* Leaves all calls switched off. */
void dyncall_row_end(void);
