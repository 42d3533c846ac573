// SPDX-License-Identifier: MIT
/* A machine that can halt a CPU until another one kicks it, made of a word in memory for each CPU:
 * backend "test halt", for ops of group "lock". So the whole protocol of kernel/lock_halt.h runs
 * under any emulator, on CPUs that really run at the same time.
 *
 * Invariant: as under KVM, a kick that comes before the halt makes it return at once, and one that
 * nobody waits for is kept. A wake-up that is lost does not stop the machine: a CPU whose ticket is
 * served and that is not kicked within a time limit is reported, and goes on.
 *
 *     paravirt_backend_add(&fake_halt_backend);
 *     paravirt_switch_op("lock", &fake_halt_backend, &refusal);
 *     ... contention ...
 *     EXPECT_EQUAL(test, fake_halt_lost(&report), 0);
 *
 * Callers: suites of this room. */
#pragma once

#include "kernel/paravirt_switch.h"

#include <stdint.h>

extern const struct paravirt_backend fake_halt_backend;

/* The newest wake-up that was lost. */
struct fake_halt_report {
    uint32_t cpu; /* that was not kicked */
    uint32_t ticket;
    const char *lock;
};

/* How many wake-ups were lost since boot; @report, which may be NULL, is written if any was.
 * Context: any. */
uint64_t fake_halt_lost(struct fake_halt_report *report);

/* Uses up a kick of this CPU; returns false if there is none. For a halt of a test's own. */
bool fake_halt_take_kick(void);

/* How many CPUs are inside the halt now. Context: any. */
uint32_t fake_halt_asleep(void);

/* PAUSEs from a kick to the halt's return, 0 at boot: a processor takes its time, too. */
void fake_halt_set_wake_spins(uint32_t spins);

/* Prints the newest one, as lines of KTAP, if there are more than @before. Context: thread. */
void fake_halt_print_lost(uint64_t before);
