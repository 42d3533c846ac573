// SPDX-License-Identifier: MIT
/* Runs a function on other CPUs and waits until it has returned there.
 *
 *   on_each_cpu(read_counter, &sum);
 *   if (!on_cpu(3, stop_work, NULL)) { ... CPU 3 is not online ... }
 *
 * Callers: clock comparison, network devices, tests, benches. Patching does not come this way: it
 * has its own vector (arch/ipi.h), so that a sync costs no function call through a pointer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Runs function(argument) on every online CPU, the caller's included, at about the same time.
 * On the others it runs in interrupt context: it must not block, nor make cross calls.
 * Context: thread, interrupts on, no spinlock held; callers take turns. A CPU that stays silent is
 * named with its backtrace (arch/ipi.h) and waited for.
 * Ordering: what the caller wrote before is visible there; what they wrote is visible on return. */
void on_each_cpu(void (*function)(void *argument), void *argument);

/* The same on one CPU. Returns false, and runs nothing, when @cpu is not online. */
bool on_cpu(uint32_t cpu, void (*function)(void *argument), void *argument);

/* Returns when every CPU has left the interrupt handlers that it was in at the call: what they were
 * told not to do before, nobody does any more. Context and ordering: as on_each_cpu(). */
void interrupt_handlers_wait(void);

/* Takes VECTOR_CALL. Context: boot, once. */
void cross_call_initialize(void);
