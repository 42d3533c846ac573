// SPDX-License-Identifier: MIT
/* Memory in which dynamic calls count whom they call (patching/dynamic_count.h). Invariant: a call
 * gets it once and keeps it; one that has none works on without learning. Callers: dynamic_pass.c,
 * tests/kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct dynamic_call;

/* Gives @call a table for each CPU there may be. Returns false if memory is short. Context: thread,
 * one caller a call. */
bool dynamic_memory_give(struct dynamic_call *call);

/* How often there was none, all calls together. Context: any. */
uint64_t dynamic_memory_refusals(void);
