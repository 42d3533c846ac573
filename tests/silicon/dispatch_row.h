// SPDX-License-Identifier: MIT
/* One row of the table of dispatchers: one kind of traffic over one number of entries, and what a
 * call costs in each of the ways that are compared. Invariant: a figure is that of call_cell.h.
 * Used by: measure_dispatch.c. Context: the main thread. */
#pragma once

#include "bench/bench_dispatch_traffic.h"
#include "tests/silicon/call_cell.h"

#include <stdbool.h>
#include <stdint.h>

enum dispatch_way {
    DISPATCH_CYCLES,  /* no call: how long a cycle of the core is */
    DISPATCH_NOTHING, /* the loop alone */
    DISPATCH_DIRECT,  /* of the first target alone: other traffic has none */
    DISPATCH_INDIRECT,
    DISPATCH_RETPOLINE,
    DISPATCH_SHAPES, /* one way each */
    DISPATCH_AUTO = DISPATCH_SHAPES + DISPATCHER_SHAPE_COUNT,
    DISPATCH_WAYS
};

const char *dispatch_way_name(enum dispatch_way way);

struct dispatch_row {
    enum dispatch_traffic traffic;
    uint32_t entries;
    uint64_t hottest[DISPATCHER_ENTRY_MAX]; /* targets */
    bool is_chosen;                         /* the next two are valid: */
    enum dispatcher_shape chosen;
    uint64_t chosen_hottest[DISPATCHER_ENTRY_MAX];
    struct call_cell cells[DISPATCH_WAYS];
};

/* Fills the dispatcher with @entries programs, from the first on. */
void dispatch_row_fill(uint32_t entries);

/* The three below: the dispatcher is filled with the row's entries. */

/* Makes the row's traffic that of the loops. */
void dispatch_row_prepare(struct dispatch_row *row);

/* Lets automatic choice decide on the form of DISPATCH_AUTO. */
void dispatch_row_choose(struct dispatch_row *row);

/* Times a few blocks of each way, and keeps them. */
void dispatch_row_time(struct dispatch_row *row);

bool dispatch_row_has(const struct dispatch_row *row, enum dispatch_way way);

/* ns a call, net of the loop: the mean of all blocks but the slowest tenth; negative if it was not
 * measured. */
double dispatch_row_ns(const struct dispatch_row *row, enum dispatch_way way);

/* The same in cycles. */
double dispatch_row_cycles(const struct dispatch_row *row, enum dispatch_way way);
