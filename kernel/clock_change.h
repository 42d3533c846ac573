// SPDX-License-Identifier: MIT
/* Changing the source of op clock_read so that no clock goes back. Invariant: from before the first
 * CPU reads the new source until it has passed all that the old one said, the floor is in force
 * (arch/clock_floor.h). Caller: kernel/paravirt_hazards.c.
 *
 *     changer                                   any thread
 *                                               reads the old source: t1; preempted
 *     clock_change_begin(): floor in force
 *     grace period: waits for it                returns t1
 *     reads the old source: floor >= t1
 *     batch: some CPUs read the old one, some the new one, all are raised to the floor
 *     grace period: nobody is in the old way
 *     clock_change_end(): new source > floor; lets go */
#pragma once

#include <stdbool.h>

/* Context: thread, interrupts on, no spinlock and not the patch lock held, one caller at a time.
 * Returns false, the floor being gone again, if the grace period was given up (logged there). */
bool clock_change_begin(void);

/* Context: as above, a grace period behind the batch; also if the batch failed. Waits while the new
 * source is behind, at most a second: then the floor stays in force, and time stands still until
 * the source has caught up; a log line says so. Returns whether the floor is gone; if not, the
 * caller calls again later. */
bool clock_change_end(void);
