// SPDX-License-Identifier: MIT
/* `bench dyncall`: what a dynamic call costs, by sequence of targets, and what it takes to learn
 * them. Invariant: the dynamic calls bench_1, bench_2 and bench_4 are afterwards what they were.
 * Callers: bench_dyncall.c. */
#pragma once

#include "bench/bench_dyncall_sequence.h"
#include "bench/bench_dyncall_state.h"
#include "kernel/table.h"

#include <stdbool.h>

/* bench_dyncall_learning.c: lets @size, its slots empty, learn @sequence, stay with it, and learn
 * it anew with other targets; a row each. Returns false, having said why, or on Ctrl-C. */
bool dyncall_learning_run(const struct dyncall_state *state, const struct dyncall_size *size,
                          enum dyncall_sequence sequence, struct table *table);
