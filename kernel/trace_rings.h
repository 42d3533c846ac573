// SPDX-License-Identifier: MIT
/* Memory of the function tracer: one ring for each CPU, and when it may be touched. Invariant: a
 * ring is emptied, exchanged or freed only while no context is inside the recorder, and what the
 * user recorded is dropped only by what is certain to follow. One thread at a time. Called by: the
 * `trace` command:
 *
 *     if (trace_rings_reserve(4096) && trace_rings_stop(&silent)) {
 *         ... what may still be refused ...
 *         trace_rings_begin();
 *     }
 *     trace_rings_unreserve();
 *
 * and by `bench calls` and `test`, which want rings of their own for a while:
 *
 *     if (trace_rings_put_aside(&silent)) {
 *         if (trace_rings_open(4096)) ...
 *         trace_rings_put_back();
 *     } */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define TRACE_RECORDS_LEAST   128 /* one page */
#define TRACE_RECORDS_MOST    (1u << 20)
#define TRACE_RECORDS_DEFAULT 4096

/* Recording is off, and whoever was about to record has done so. Context: thread. Returns false if
 * CPU *@silent does not answer, which may still record: then recording is off, and no more. */
bool trace_rings_stop(unsigned *silent);

/* Allocates rings of @records, a power of two between least and most, beside those in force; none
 * if those are of that size. Returns false, nothing changed, without memory. Context: thread. */
bool trace_rings_reserve(uint64_t records);

/* Each CPU's ring is empty: the one reserved, whose place the old one's memory leaves, or the one
 * it has. Context: thread; trace_rings_stop() succeeded, and nothing has been recorded since. */
void trace_rings_begin(void);

/* Gives back what was reserved and not used. Context: thread. */
void trace_rings_unreserve(void);

/* Reserve and begin where there are no rings. Context: thread; behind trace_rings_put_aside() or
 * trace_rings_free(). */
bool trace_rings_open(uint64_t records);

/* Gives the memory of the rings in force back; recording is off. Context: thread. Returns false,
 * the rings there still, if CPU *@silent does not answer. */
bool trace_rings_free(unsigned *silent);

/* From now on there are no rings; those in force are kept with what they hold. Recording is off.
 * Once at a time. Returns false, the rings there still, if CPU *@silent does not answer. */
bool trace_rings_put_aside(unsigned *silent);

/* Frees the rings in force, and those put aside are there again; recording is off. Waits for every
 * CPU, however long it is silent: the user's rings have no other way back. */
void trace_rings_put_back(void);

/* Records a CPU; 0: there are no rings. */
uint64_t trace_rings_records(void);
