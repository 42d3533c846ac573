// SPDX-License-Identifier: MIT
/* Record of every IPI sent while the static key `ipi_trace` is on: a ring on each sending CPU.
 * Invariant: a ring is written by its own CPU only, and a record is read whole or not at all.
 * Callers: ipi.c writes, the commands `ipi` and `trace dump ipi` read. */
#pragma once

#include "arch/percpu.h"
#include "patching/static_key.h"

#define IPI_TRACE_ALL 0xffffu

/* Where the sender was: return addresses, innermost first. */
#define IPI_TRACE_FRAMES 20
struct ipi_trace_stack {
    uint64_t sequence; /* of the record that it belongs to; 0: none */
    uint64_t frame_count;
    uint64_t frames[IPI_TRACE_FRAMES];
};

DECLARE_STATIC_KEY(ipi_trace);

/* From now on sends by CPU @index leave their stacks in @stacks, zeroed, IPI_TRACE_RECORDS of them,
 * for ever. Context: any. */
void ipi_trace_set_stacks(unsigned index, struct ipi_trace_stack *stacks);
bool ipi_trace_has_stacks(unsigned index);

/* Adds a record to this CPU's ring; ipi.c calls it where ipi_trace is on. @to: CPU index or
 * IPI_TRACE_ALL. */
void ipi_trace_add(unsigned to, unsigned vector, unsigned targets, const void *caller);

/* Copies record @sequence (1 is the first ever) of CPU @index. Returns false if it is not there
 * (any more), or was overwritten meanwhile. Context: any. */
bool ipi_trace_get(unsigned index, uint64_t sequence, struct ipi_trace_record *record);

/* The same for its stack. Returns false if it was recorded without, too. */
bool ipi_trace_get_stack(unsigned index, uint64_t sequence, struct ipi_trace_stack *stack);

/* What IPI @vector is: "sync", "call", "reschedule", "stop"; "?" for any other. */
const char *ipi_trace_vector_name(unsigned vector);

/* Sequence number of the newest record of CPU @index, 0 if none. */
uint64_t ipi_trace_newest(unsigned index);
