// SPDX-License-Identifier: MIT
/* Counted inter-processor interrupts, and the sync that live patching stands on. Invariant: over
 * all CPUs and kinds, sum of ipis_sent == sum of ipis_received once all are delivered: a send that
 * would merge with one still pending is not made and not counted, and CPUs come online only while
 * nobody syncs. Callers: scheduler, cross calls, stop_cpus.c, patch platform, bench.
 *
 * A CPU that keeps others waiting is logged with its backtrace after 2 s, again at doubling times
 * and at the end: 60 s, then panic; or, where the function says so, the patience. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* How long a CPU may be silent before those that can do without it give up. */
#define IPI_PATIENCE_NS 10000000000ull

/* Changes that, to anything below 60 s. Context: boot; tests, while nobody else patches. */
void ipi_set_patience_ns(uint64_t limit_ns);
uint64_t ipi_patience_ns(void);

/* Makes every other online CPU, then this one, execute a serialising instruction after the call
 * began. Context: interrupts on (other patchers' syncs are answered meanwhile), no spinlock held;
 * with interrupts off only while this is the only CPU online. Panics otherwise. Ordering: text
 * written before the call is what every CPU fetches after its return. Returns the number of IPIs
 * sent: cpu_count() - 1, but for CPUs that have yet to answer a round that was given up. */
unsigned sync_cores_others(void);

/* The same with patience. Returns false if CPU *@silent, or another one behind it, did not answer:
 * they may go on fetching older text until they take their next interrupt, which will serialise
 * them.
 * *@sent: IPIs. */
bool sync_cores_try(unsigned *sent, unsigned *silent);

/* Sends VECTOR_CALL, VECTOR_RESCHEDULE or VECTOR_STOP to CPU @index, or to all other online CPUs.
 * If one of that kind is already on its way to a CPU, none is added: its handler has yet to start
 * and will see what the caller wrote before. Broadcast returns the number of CPUs sent to.
 * Context: any but NMI. */
void ipi_send(unsigned index, unsigned vector);
unsigned ipi_broadcast(unsigned vector);

/* Sends and waits for one sync round trip with one CPU; for `bench ipi`. Context as
 * sync_cores_others(). */
unsigned sync_core_one(unsigned index);

/* Waits until is_done(index, argument) holds for every other online CPU; for protocols built on
 * ipi_send(). @what says what is owed ("a cross call").
 * Context: thread, interrupts on: the CPU waited for may itself wait for a sync of ours. */
void ipi_wait_acknowledged(const char *what, bool (*is_done)(unsigned index, void *argument),
                           void *argument);

/* The same with patience. Returns false if CPU *@silent did not answer. */
bool ipi_wait_acknowledged_patiently(const char *what,
                                     bool (*is_done)(unsigned index, void *argument),
                                     void *argument, unsigned *silent);

/* Called by a CPU that has just become online: it owes no round that began before. */
void sync_join(void);

/* Called by trap_dispatch() before the handler of an IPI vector runs. */
void ipi_note_received(unsigned vector);

/* Installs the default VECTOR_RESCHEDULE handler (sets need_reschedule). apic_initialize() calls
 * it. */
void ipi_initialize(void);
