// SPDX-License-Identifier: MIT
/* Clocks that do not go back while their source changes. Invariant: while the floor is in force, a
 * read on any CPU is at least what any earlier read returned. Every way of op clock_read ends in
 * clock_floor_apply(). Callers: clock.c, the kvm clock, kernel/paravirt_switch.c.
 *
 *     clock_floor_begin()       from here on all reads are raised to the newest one
 *     ... the batch: some CPUs read the old source, some the new one ...
 *     clock_floor_end()         waits until the new source has caught up, and lets go */
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern bool clock_floor_is_on; /* atomic; clock_floor.c only */

/* The slow side of clock_floor_apply(). */
uint64_t clock_floor_raise(uint64_t ns);

/* Relaxed: who misses it read the clock before clock_floor_begin() was through. */
static inline uint64_t clock_floor_apply(uint64_t ns)
{
    return __builtin_expect(__atomic_load_n(&clock_floor_is_on, __ATOMIC_RELAXED), 0)
               ? clock_floor_raise(ns)
               : ns;
}

/* Puts the floor into force; returns when every read that missed it is over (a grace period).
 * Context: thread, interrupts on, no spinlock held, one caller at a time. */
void clock_floor_begin(void);

/* Waits until the source of op clock_read is not below the floor on this CPU, then lets go.
 * Returns how far it was behind, in ns, at the call (0: not). Context: as above. */
uint64_t clock_floor_end(void);
