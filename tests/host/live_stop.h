// SPDX-License-Identifier: MIT
/* Parking threads by a signal: what the kernel does with an IPI that keeps interrupts off.
 * Invariant: a parked thread executes nothing but the signal handler, which holds no site, and
 * serialises before it leaves it. Used by: live.c, test_live_platform.c, tests/silicon. */
#pragma once

#include <signal.h>
#include <stdint.h>

enum { LIVE_STOP_SIGNAL = SIGUSR1 };

/* Installs @handler straight in the kernel. Not by sigaction(): a sanitizer's runtime holds a
 * signal back until the thread next calls into it, and a thread that runs through generated code
 * never does. Returns 0, or -1 and errno. */
int live_signal_install(int number, void (*handler)(int, siginfo_t *, void *));

/* Returns 0, or -1 and errno. */
int live_stop_initialize(void);

/* The calling thread becomes CPU @cpu, or stops being one. Waits while threads are parked. */
void live_stop_register(unsigned cpu);
void live_stop_unregister(unsigned cpu);

/* CPUs other than the calling thread. */
unsigned live_stop_others(void);

/* How long platform_stop_cpus() waits for a thread; 60 s unless set. */
void live_stop_set_limit(uint64_t ns);

/* Makes the calling thread fetch again whatever it executes next: IRET to itself. Not CPUID: in a
 * virtual machine that leaves to the hypervisor, and costs a hundred times as much (`make silicon`
 * shows both). */
void live_serialize(void);
