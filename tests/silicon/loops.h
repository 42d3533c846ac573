// SPDX-License-Identifier: MIT
/* Times loops of something that takes a few cycles. Invariant: what a row shows is net: the time of
 * an iteration less the median of the loop it is compared with, both measured in turn. Used by:
 * measure_calls.c, measure_dispatch.c, measure_keys.c, measure_paravirt.c. */
#pragma once

#include <stdint.h>

/* Begins a table, and finds out how long a cycle of the core takes just now: a chain of additions
 * takes one each. (The time stamp counter ticks at another rate than the core.) */
void loops_begin(const char *kind, const char *title);

/* A chain of LOOPS_CHAIN additions an iteration, each of which waits for the one before. */
enum { LOOPS_CHAIN = 16 };
void loops_chain(uint64_t iterations);

/* One row: @loop less @empty, per iteration. Each runs as many iterations as it is told. */
void loops_row(const char *what, void (*loop)(uint64_t), void (*empty)(uint64_t));

/* The same where an iteration of @loop does the thing @parts times: the row is of one. */
void loops_row_of_parts(const char *what, void (*loop)(uint64_t), void (*empty)(uint64_t),
                        unsigned parts);
