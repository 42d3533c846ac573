// SPDX-License-Identifier: MIT
/* Rings of function calls, one a CPU: function_trace_entry.asm writes, anybody reads. Invariant: an
 * event is seen whole or not at all; writing never waits, and overwrites the oldest.
 * trace_ring.c lies in .text.nopatch whole: what records a call is itself never traced.
 * The host provides the memory. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct trace_event {
    uint64_t sequence; /* number of the event on its CPU, from 1; 0 in a ring: none yet */
    uint64_t ticks;    /* platform_time_ticks() */
    uint64_t function; /* its entry */
    uint64_t caller;   /* where the function will return to */
};

/* While it is off, calls cost their way into the recorder and back, and leave nothing. Off at
 * first. Context: any. Ordering: full; see trace_rings_are_idle(). */
void trace_recording_set(bool on);
bool trace_is_recording(void);

/* True if no context of any CPU is inside the recorder. Once that was so, and as long as nothing
 * records, the rings may be changed. Context: recording is off, and every CPU has executed a full
 * barrier since (platform_sync_cores()): without it a recorder that has just begun might neither be
 * seen here nor see that recording is off. A thread that was preempted there keeps it false until
 * it has run on. */
bool trace_rings_are_idle(void);

/* Gives CPU @cpu a ring of @count events, a power of two, or none (NULL, 0); it is empty.
 * Context: as long as trace_rings_are_idle(). */
void trace_ring_set(unsigned cpu, struct trace_event *events, uint64_t count);

/* A ring that is not in use, with what it holds. */
struct trace_ring_contents {
    struct trace_event *events; /* NULL: there is none */
    uint64_t count;
    uint64_t newest; /* number of its newest event */
};

/* Gives CPU @cpu the ring *@other, and *@other that of the CPU, each with what it holds.
 * Context: as long as trace_rings_are_idle(). */
void trace_ring_exchange(unsigned cpu, struct trace_ring_contents *other);

/* nopatch; called by function_trace_entry.asm: the function whose entry ends at @behind_entry was
 * called and will return to @caller. Context: any but NMI and #BP, nested interrupts too; a context
 * that is interrupted here goes on on the same CPU. */
void trace_ring_add(uint64_t behind_entry, uint64_t caller);

/* Number of the newest event of CPU @cpu, 0 if there is none, and how many its ring holds. Context:
 * any. */
uint64_t trace_ring_newest(unsigned cpu);
uint64_t trace_ring_size(unsigned cpu);

/* Events that have been overwritten. Context: any. */
uint64_t trace_ring_overwritten(unsigned cpu);

/* Copies event @sequence of CPU @cpu. Returns false if it is not there: overwritten, being written,
 * or never made. Context: any; nobody calls trace_ring_set() meanwhile. Unless
 * trace_rings_are_idle(), the event may be mixed with that of a recorder that was interrupted for a
 * whole lap. */
bool trace_ring_get(unsigned cpu, uint64_t sequence, struct trace_event *event);
