// SPDX-License-Identifier: MIT
/* Lets a dynamic call learn from the calls of the loops: the real policy and engine, stepped
 * between blocks of calls. Invariant: afterwards learning is off. Used by: dyncall_row.c. Context:
 * the main thread. */
#pragma once

#include "bench/bench_dyncall_loops.h"

#include <stdbool.h>

/* Once: room to count in, for all sizes. */
void dyncall_auto_initialize(void);

/* Returns false if learning did not settle in time; else @form is what it settled at. */
bool dyncall_auto_choose(const struct dyncall_size *size, struct dynamic_call_form *form);
