// SPDX-License-Identifier: MIT
/* Record of every IPI sent while the static key `ipi_trace` is on: a ring on each sending CPU.
 * Invariant: a ring is written by its own CPU only. Callers: ipi.c writes, the `ipi` command reads.
 */
#pragma once

#include "arch/percpu.h"

#define IPI_TRACE_ALL 0xffffu

/* Copies record @sequence (1 is the first ever) of CPU @index. Returns false if it is not there
 * (any more). */
bool ipi_trace_get(unsigned index, uint64_t sequence, struct ipi_trace_record *record);

/* Sequence number of the newest record of CPU @index, 0 if none. */
uint64_t ipi_trace_newest(unsigned index);
