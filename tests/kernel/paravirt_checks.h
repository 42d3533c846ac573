// SPDX-License-Identifier: MIT
/* What each paravirt op is for, looked at from outside: each check runs the op at its probe
 * (paravirt_probes.h) and sees whether it did that, and kept what it has to. Invariant: a check
 * holds for every backend and form, on any number of CPUs at once, and before, in and behind a
 * batch. Callers: the paravirt suites. */
#pragma once

#include "arch/paravirt.h"
#include "tests/kernel/test.h"

#include <stdbool.h>
#include <stdint.h>

/* Pages, and a vector, for the checks. Begin returns false, having failed @test, without memory.
 * Context: thread; one suite at a time. */
bool paravirt_checks_begin(struct test *test);
void paravirt_checks_end(void);

/* Returns NULL if the op did what it is for, else what it did not ("does not end the interrupt").
 * Context: thread, interrupts on, not pinned to a CPU with others waiting for it. */
const char *paravirt_check(enum paravirt_op_id op);

/* Whether the check interrupts or waits for all other CPUs: not for all of them at once. */
bool paravirt_check_is_heavy(enum paravirt_op_id op);

/* Checks every op on this CPU, but for heavy ones unless @heavy. Prints what an op did not, as
 * lines of KTAP that begin with @where. Returns how many. Context: as above. */
unsigned paravirt_check_all(const char *where, bool heavy);

/* Interrupts that the checks have taken on this CPU. */
uint64_t paravirt_checks_arrived(unsigned cpu);
