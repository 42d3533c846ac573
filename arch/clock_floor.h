// SPDX-License-Identifier: MIT
/* Clocks that do not go back while their source changes. Invariant: while the floor is in force, a
 * read on any CPU is at least what any earlier read returned. Every way of op clock_read ends in
 * clock_floor_apply(). Callers: clock.c, the kvm clock, kernel/clock_change.c, which knows when the
 * floor has to be set and may go. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern bool clock_floor_is_on; /* atomic; clock_floor.c only */

/* The slow side of clock_floor_apply(): raises the floor to @ns, or @ns to the floor. */
uint64_t clock_floor_raise(uint64_t ns);

/* Relaxed: who misses the floor is waited for, see clock_floor_set(). */
static inline uint64_t clock_floor_apply(uint64_t ns)
{
    return __builtin_expect(__atomic_load_n(&clock_floor_is_on, __ATOMIC_RELAXED), 0)
               ? clock_floor_raise(ns)
               : ns;
}

/* Puts the floor into force. Reads that are in progress miss it: the caller waits until they are
 * over (a grace period), then reads the clock once, which raises the floor above all of them, and
 * only then changes the source. Context: any. */
void clock_floor_set(void);

/* Lets the floor go, if the source of op clock_read has caught up with it, or does so within
 * @limit_ns: it returned more than the floor at the call. Every read in progress uses that source.
 * Returns false, and leaves the floor in force, if it has not. @waited_ns: how long it took.
 * Context: thread. */
bool clock_floor_release(uint64_t limit_ns, uint64_t *waited_ns);
