// SPDX-License-Identifier: MIT
/* Memory of the function tracer: one ring for each CPU, and when it may be touched. Invariant: a
 * ring is emptied or freed only while no context is inside the recorder. Called by the `trace`
 * command and tests, one thread at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TRACE_RECORDS_LEAST   128 /* one page */
#define TRACE_RECORDS_MOST    (1u << 20)
#define TRACE_RECORDS_DEFAULT 4096

/* Gives each CPU an empty ring of @records, a power of two between least and most; recording is
 * off. Returns false without memory: then there is no ring at all. Context: thread. */
bool trace_rings_open(uint64_t records);

/* Recording is off, and whoever was about to record has done so. Context: thread. */
void trace_rings_stop(void);

/* Gives all memory back; recording is off. Context: thread. */
void trace_rings_free(void);

/* Records a CPU; 0: there are no rings. */
uint64_t trace_rings_records(void);
