// SPDX-License-Identifier: MIT
/* The machine under the measurements. Invariant: the patcher (main thread) stays on one CPU, the
 * executor on another one, of another core if there is one. Used by: main.c, executor.c, watch.c.
 */
#pragma once

#include <stdint.h>

/* Chooses the CPUs and pins the calling thread. Returns NULL, or what failed. */
const char *machine_initialize(void);

unsigned machine_cpu_count(void); /* that this program may use: 1 or 2, however many there are */
void machine_pin_executor(void);  /* the calling thread is the executor */

/* Prints model, kernel, CPUs, time stamp counter. */
void machine_report(void);

/* Time the hypervisor took from the CPUs since boot, in ms (of 10 ms steps). */
uint64_t machine_stolen_ms(void);
