// SPDX-License-Identifier: MIT
/* Parking all other CPUs for the patch protocol `stop`. Invariant: a parked CPU spins with
 * interrupts off in a loop that holds no patch site, and serialises before it leaves; an NMI is the
 * only thing it still takes. Callers: kernel/patch_platform.c, under the patch lock.
 *
 * Rule for the whole kernel: a lock that anyone takes with interrupts off is never held with
 * interrupts on. Otherwise its holder could be parked while another CPU, interrupts off, waits for
 * the lock and never comes. */
#pragma once

#include <stdbool.h>

/* Sends one IPI to every other online CPU and waits until all are parked, then turns interrupts off
 * here. @sent: IPIs; @silent: set when it returns false: the CPU that did not come; then nobody is
 * parked. Context: thread, interrupts on, one caller at a time; early boot with one CPU. */
bool stop_cpus(unsigned *sent, unsigned *silent);

/* Lets them go, serialises this CPU, restores its interrupts. */
void release_cpus(void);

/* Installs the handler; boot, before another CPU is started. */
void stop_cpus_initialize(void);
