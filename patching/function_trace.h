// SPDX-License-Identifier: MIT
/* Tracing of function calls: every function begins with five bytes of nop; traced, with a call of
 * function_trace_entry, which records it (trace_ring.h). Invariant: which functions are traced
 * stands in the text alone; every entry shows nop5 or that call, or the batch in flight.
 *
 *     trace_ring_set(cpu, memory, 4096);                              for each CPU
 *     trace_recording_set(true);
 *     status = function_trace_set(true, is_chosen, &choice, 0, &cost, &error);
 *
 * Cost of a function that is not traced: the nop. The functions of .text.nopatch have no entry: the
 * breakpoint handler, NMI and whatever runs while a site is half written, the recorder included. */
#pragma once

#include "patching/status.h"

#include <stdbool.h>
#include <stdint.h>

/* The compiler's table (section __patchable_function_entries), ascending: the linker script has it,
 * tools/check_image.py proves the order. */
extern const uint64_t function_entries_start[], function_entries_end[];

/* Checks the table and makes each entry one instruction: gcc writes five nops of one byte.
 * Context: early boot, one CPU, interrupts off; before any other function of this file.
 * Returns PATCH_ERR_NOT_TEXT, PATCH_ERR_INSTRUCTION (no nop there), PATCH_ERR_DUPLICATE (not
 * ascending) or PATCH_ERR_WRITE; @error names the entry. */
PATCH_MUST_CHECK enum patch_status function_trace_initialize(struct patch_error *error);

/* The functions that can be traced, by index. Context: any. */
uint32_t function_trace_count(void);
uint64_t function_trace_address(uint32_t index);

/* The index of the function that begins at @address; function_trace_count() if none does. */
uint32_t function_trace_find(uint64_t address);

/* Whether calls of it are recorded; while a batch is in flight, as it was before. Context: any. */
bool function_trace_is_on(uint32_t index);
uint32_t function_trace_count_on(void);

/* Whether function @index is to be changed. Called in ascending order, patch lock held: may not
 * patch. */
typedef bool function_trace_selector(uint32_t index, void *argument);

/* What a change took: sums over its batches. */
struct function_trace_cost {
    uint32_t functions; /* entries changed */
    uint32_t batches;
    uint32_t rounds;
    uint32_t ipis;
    uint64_t traps;
    uint64_t total_ns;
};

/* Traces the functions that @select chooses, or no longer (@on false), those that are so already
 * excepted. @chunk: functions a batch at most; 0: as many as fit.
 * Context: platform_may_patch(); patch lock not held.
 * Ordering: on PATCH_OK every CPU executes the new entries; one may still be inside the recorder.
 * Returns what applying a batch returns, and PATCH_ERR_UNSAFE if protocol naive is the default: the
 * patcher and its interrupts run through the very entries that are half written. Each batch is all
 * or nothing: behind one that failed, those before it stand, @cost counts them, and @error (may be
 * NULL) tells about it. */
PATCH_MUST_CHECK enum patch_status function_trace_set(bool on, function_trace_selector *select,
                                                      void *argument, uint32_t chunk,
                                                      struct function_trace_cost *cost,
                                                      struct patch_error *error);
