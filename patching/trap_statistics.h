// SPDX-License-Identifier: MIT
/* Reads the counts that the breakpoint handler keeps per CPU. Invariant: emulated counts are exact
 * once the batch that caused them has returned. Called by: poke.c (traps of a record), benches,
 * shell. */
#pragma once

#include "patching/histogram.h"

#include <stdint.h>

/* Traps emulated / retried on @cpu since boot or reset. Context: any. */
uint64_t patch_traps_emulated(unsigned cpu);
uint64_t patch_traps_retried(unsigned cpu);

/* Traps emulated on all CPUs. */
uint64_t patch_traps_emulated_total(void);

/* Adds the handler times (raw ticks, entry to exit of patch_breakpoint_handle()) of all CPUs to
 * @into. Exact while no batch is in flight. */
void patch_trap_times_merge(struct histogram *into);

/* Forgets the handler times of all CPUs; the counts go on. Context: no batch in flight. */
void patch_trap_times_reset(void);
