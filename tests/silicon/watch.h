// SPDX-License-Identifier: MIT
/* Were patcher and executor on their CPUs all the time? Invariant: a sample for which watch_end()
 * returns true was not interrupted by another thread on either CPU. Not seen: interrupts, and what
 * the hypervisor does (machine_stolen_ms() gives the sum). Used by: samples.c, machine.c.
 *
 * How: Linux counts in /proc/self/task/TID/schedstat how often a thread came onto a CPU. A thread
 * that lost its CPU and has not come back yet does not show there, so its pulse is awaited first.
 */
#pragma once

#include <stdbool.h>

/* False if this kernel does not count (CONFIG_SCHED_INFO). Then every sample is kept. */
bool watch_is_possible(void);

void watch_begin(void);
bool watch_end(void);
