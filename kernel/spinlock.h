// SPDX-License-Identifier: MIT
/* Ticket spinlocks: first come, first served. Invariant: the CPU whose ticket is `serving` owns the
 * lock; a lock is held for a short, bounded time and never across anything that waits for another
 * CPU (but for sync_lock in arch/ipi.c, taken with interrupts on for that reason). Called by every
 * room.
 *
 * A lock is held either always with interrupts off or always with interrupts on, asserted at each
 * taking: an interrupt handler could wait for a lock of the CPU it interrupted; and a holder with
 * interrupts on may be parked (arch/stop_cpus.h) while another CPU, interrupts off, waits for it
 * and is never parked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arch/instructions.h"

struct spinlock {
    const char *name;
    uint32_t next;    /* ticket that the next comer draws */
    uint32_t serving; /* ticket of the owner */
};

#define SPINLOCK(lock_name)                                                                        \
    {                                                                                              \
        .name = (lock_name), .next = 0, .serving = 0                                               \
    }

/* Minutes of PAUSEs: longer than any CPU waits for a sync before it names the silent one
 * (arch/ipi.h), so that the report of a stuck lock never comes before the report of what it waits
 * for. */
#define SPINLOCK_SPINS_MAX (1ull << 32)

/* Panics with the lock's name: its owner never released it. */
_Noreturn void spinlock_report_stuck(const struct spinlock *lock);

/* Panics with the lock's name: interrupts were on where they must be off, or the other way. */
_Noreturn void spinlock_report_interrupts(const struct spinlock *lock);

/* Draws a ticket and waits until it is served. For the two functions below.
 * Ordering: acquire; pairs with the release in spinlock_unlock(), without which this CPU could read
 * fields that the previous owner has not finished writing. */
static inline void spinlock_wait(struct spinlock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    uint64_t spins = 0;

    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
        cpu_relax();
        if (++spins == SPINLOCK_SPINS_MAX) {
            spinlock_report_stuck(lock);
        }
    }
}

/* Takes the lock. Context: interrupts off. Ordering: as spinlock_wait(). */
static inline void spinlock_lock(struct spinlock *lock)
{
    if (interrupts_enabled()) {
        spinlock_report_interrupts(lock);
    }
    spinlock_wait(lock);
}

/* The same for a lock that is never taken with interrupts off. Context: preemption off, interrupts
 * on. */
static inline void spinlock_lock_interruptible(struct spinlock *lock)
{
    if (!interrupts_enabled()) {
        spinlock_report_interrupts(lock);
    }
    spinlock_wait(lock);
}

/* Serves the next ticket. Ordering: release; pairs with the acquire in spinlock_lock(). */
static inline void spinlock_unlock(struct spinlock *lock)
{
    __atomic_store_n(&lock->serving, lock->serving + 1, __ATOMIC_RELEASE);
}

/* Interrupts off, then spinlock_lock(). Returns the flags for spinlock_unlock_restore(). */
static inline uint64_t spinlock_lock_save(struct spinlock *lock)
{
    uint64_t flags = interrupts_save();

    spinlock_lock(lock);
    return flags;
}

static inline void spinlock_unlock_restore(struct spinlock *lock, uint64_t flags)
{
    spinlock_unlock(lock);
    interrupts_restore(flags);
}
