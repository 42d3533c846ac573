// SPDX-License-Identifier: MIT
/* Starting the application processors. Invariant: all are started together; one that does not come
 * up is named, marked CPU_FAILED and can never run kernel code later. Caller: kernel_main(). */
#pragma once

/* Starts CPUs until @limit CPUs (the boot CPU included; 0 means all present) run. On return each
 * runs kernel_main_secondary() or is marked failed. Context: boot CPU, interrupts on or off, clock
 * running. Returns the number of CPUs online. */
unsigned smp_start_all(unsigned limit);
