// SPDX-License-Identifier: MIT
/* Counted inter-processor interrupts, and the sync that live patching stands on. Invariant: over
 * all CPUs and kinds, sum of ipis_sent == sum of ipis_received once all are delivered: a send that
 * would merge with one still pending is not made and not counted, and CPUs come online only while
 * nobody syncs. Callers: scheduler, cross calls,
 * patch platform, bench. */
#pragma once

#include <stdbool.h>

/* Makes every other online CPU, then this one, execute a serialising instruction after the call
 * began. Context: interrupts on (other patchers' syncs are answered meanwhile), no spinlock held;
 * with interrupts off only while this is the only CPU online. Panics otherwise. Ordering: text
 * written before the call is what every CPU fetches after its return. A CPU silent for 2 s is
 * logged with its backtrace, again at doubling times; panic after 60 s. Returns the number of IPIs
 * sent: cpu_count() - 1. */
unsigned sync_cores_others(void);

/* Sends VECTOR_CALL, VECTOR_RESCHEDULE or VECTOR_STOP to CPU @index, or to all other online CPUs.
 * If one of that kind is already on its way to a CPU, none is added: its handler has yet to start
 * and will see what the caller wrote before. Context: any but NMI. */
void ipi_send(unsigned index, unsigned vector);
void ipi_broadcast(unsigned vector);

/* Sends and waits for one sync round trip with one CPU; for `bench ipi`. Context as
 * sync_cores_others(). */
unsigned sync_core_one(unsigned index);

/* Waits until is_done(index, argument) holds for every other online CPU; for protocols built on
 * ipi_send(). Names a silent CPU as sync_cores_others() does; @what says what it owes ("a cross
 * call"). Context: thread, interrupts on: the CPU waited for may itself wait for a sync of ours. */
void ipi_wait_acknowledged(const char *what, bool (*is_done)(unsigned index, void *argument),
                           void *argument);

/* Called by a CPU that has just become online: it owes no round that began before. */
void sync_join(void);

/* Called by trap_dispatch() before the handler of an IPI vector runs. */
void ipi_note_received(unsigned vector);

/* Installs the default VECTOR_RESCHEDULE handler (sets need_reschedule). apic_initialize() calls
 * it. */
void ipi_initialize(void);
