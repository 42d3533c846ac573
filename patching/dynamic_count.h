// SPDX-License-Identifier: MIT
/* Who a dynamic call calls: a small table a CPU, and what a worker makes of them. Invariant: a row
 * that has a target keeps it until the tables are cleared; a target that finds no row is counted
 * all the same. Counts are for learning, not for accounts: an interrupt between load and store may
 * lose one, and a call that is under way while the tables are cleared may be counted behind.
 * Callers: dynamic_call.c (count), dynamic_auto.c (merge, clear), tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Rows: more than slots, so that a new hot target is found among cold ones. */
enum { DYNAMIC_ROWS = 7, DYNAMIC_CENSUS_ROWS = 16 };

struct dynamic_row {
    uint64_t target; /* 0: free */
    uint64_t calls;
};

/* One CPU's; all atomic, relaxed: each field stands for itself. Two cache lines. */
struct dynamic_count {
    _Alignas(64) struct dynamic_row rows[DYNAMIC_ROWS];
    uint64_t others; /* calls of targets that found no row */
    uint64_t unused;
};
_Static_assert(sizeof(struct dynamic_count) == 128, "rows, and two words");

/* Counts a call of @target, which is not 0. Context: any. */
void dynamic_count_call(struct dynamic_count *count, uint64_t target);

/* What all CPUs counted, the most called first; a target once. */
struct dynamic_census {
    struct dynamic_row rows[DYNAMIC_CENSUS_ROWS];
    uint32_t row_count;
    uint64_t others; /* of targets without a row here or there */
    uint64_t total;  /* all calls */
};

/* Adds up @cpus tables; rows beyond DYNAMIC_CENSUS_ROWS, the least called, go to others. */
void dynamic_count_merge(struct dynamic_census *census, const struct dynamic_count *counts,
                         uint32_t cpus);
void dynamic_count_clear(struct dynamic_count *counts, uint32_t cpus);

/* Takes one target out. */
void dynamic_count_forget(struct dynamic_count *counts, uint32_t cpus, uint64_t target);
