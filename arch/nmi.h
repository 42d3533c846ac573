// SPDX-License-Identifier: MIT
/* Asking another CPU, whatever it does, where it is; and stopping all of them for a panic.
 * Invariant: all of it is .text.nopatch, takes no lock and works with interrupts off.
 * Callers: sync and call time-outs, kernel/panic.c, the `cpus` command. */
#pragma once

#include "arch/percpu.h"
#include "arch/trap_frame.h"

/* Interrupts CPU @index by NMI and copies what it was doing to @out.
 * Context: any but NMI. Spins until @timeout_ns of silence are over (patience.h). Returns false if
 * the CPU did not answer, is not online, or is this one. NMIs are not counted as IPIs. */
bool nmi_capture_backtrace(unsigned index, struct cpu_snapshot *out, uint64_t timeout_ns);

/* Stops every other online CPU for ever; each leaves its snapshot in cpu_by_index(i)->snapshot.
 * Returns the number of CPUs that answered before @timeout_ns of silence were over (patience.h). */
unsigned nmi_stop_others(uint64_t timeout_ns);

/* True when CPU @index was stopped by nmi_stop_others() (its snapshot is valid). */
bool nmi_is_stopped(unsigned index);

/* Called by entry.asm. */
void nmi_handle(struct trap_frame *frame);
