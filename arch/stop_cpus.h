// SPDX-License-Identifier: MIT
/* Parking all other CPUs for the patch protocol `stop`. Invariant: a parked CPU spins with
 * interrupts off in a loop that holds no patch site, and serialises before it leaves; an NMI is the
 * only thing it still takes. Callers: kernel/patch_platform.c, under the patch lock.
 *
 * Rule for the whole kernel: what is waited for with interrupts off is never held with interrupts
 * on. Otherwise its holder could be parked while another CPU, interrupts off, waits for it and
 * never comes. kernel/spinlock.h asserts it; the console, held with interrupts on, is not waited
 * for with interrupts off. */
#pragma once

#include <stdbool.h>

/* Sends one IPI to every other online CPU and waits, with patience (ipi.h), until all are parked;
 * then turns interrupts off here. *@sent: IPIs; less than one a CPU if an earlier one is still
 * pending. Context: thread, interrupts on; or early boot with one CPU. One caller at a time.
 * Returns false if CPU *@silent did not come: then nobody is parked, interrupts are as before, and
 * release_cpus() is not called. */
bool stop_cpus(unsigned *sent, unsigned *silent);

/* Lets them go, serialises this CPU, restores its interrupts. */
void release_cpus(void);

/* Installs the handler; boot, before another CPU is started. */
void stop_cpus_initialize(void);
