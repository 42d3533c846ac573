// SPDX-License-Identifier: MIT
/* Record of every IPI sent while the static key `ipi_trace` is on: a ring on each sending CPU.
 * Invariant: a ring is written by its own CPU only. Callers: ipi.c writes, the `ipi` command reads.
 */
#pragma once

#include "arch/percpu.h"
#include "patching/static_key.h"

#define IPI_TRACE_ALL 0xffffu

DECLARE_STATIC_KEY(ipi_trace);

/* Adds a record to this CPU's ring; ipi.c calls it where ipi_trace is on. @to: CPU index or
 * IPI_TRACE_ALL. */
void ipi_trace_add(unsigned to, unsigned vector, unsigned targets, const void *caller);

/* Copies record @sequence (1 is the first ever) of CPU @index. Returns false if it is not there
 * (any more). */
bool ipi_trace_get(unsigned index, uint64_t sequence, struct ipi_trace_record *record);

/* Sequence number of the newest record of CPU @index, 0 if none. */
uint64_t ipi_trace_newest(unsigned index);
