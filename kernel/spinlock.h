// SPDX-License-Identifier: MIT
/* Ticket spinlocks: first come, first served. Invariant: the CPU whose ticket is `serving` owns the
 * lock; a lock is held for a short, bounded time and never across anything that waits for another
 * CPU (but for sync_lock in arch/ipi.c, taken with interrupts on for that reason). Called by every
 * room.
 *
 * The memory of a lock stays readable for ever: a release may look at it once more after it has
 * served the next ticket (lock_halt_unlock()), when that owner may have given the lock up. So no
 * lock stands on a stack.
 *
 * A lock is held either always with interrupts off or always with interrupts on, asserted at each
 * taking: an interrupt handler could wait for a lock of the CPU it interrupted; and a holder with
 * interrupts on may be parked (arch/stop_cpus.h) while another CPU, interrupts off, waits for it
 * and is never parked. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "arch/interrupts.h"

struct spinlock {
    const char *name;
    uint32_t next;    /* ticket that the next comer draws */
    uint32_t serving; /* ticket of the owner; op lock_unlock knows where this stands */
    uint32_t halted;  /* CPUs that halted while they wait, or are about to */
};

#define SPINLOCK(lock_name)                                                                        \
    {                                                                                              \
        .name = (lock_name), .next = 0, .serving = 0, .halted = 0                                  \
    }

/* Minutes of PAUSEs: longer than any CPU waits for a sync before it names the silent one
 * (arch/ipi.h), so that the report of a stuck lock never comes before the report of what it waits
 * for. */
#define SPINLOCK_SPINS_MAX (1ull << 32)

/* Panics with the lock's name: its owner never released it. */
_Noreturn void spinlock_report_stuck(const struct spinlock *lock);

/* Panics with the lock's name: interrupts were on where they must be off, or the other way. */
_Noreturn void spinlock_report_interrupts(const struct spinlock *lock);

/* Draws a ticket and waits until it is served. Inline, but for the wait: a free lock costs its
 * caller what it would cost without ops. For the three functions below.
 * Ordering: acquire; pairs with the release in spinlock_unlock(), without which this CPU could read
 * fields that the previous owner has not finished writing. */
static inline void spinlock_take(struct spinlock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

    if (__builtin_expect(__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket, 0)) {
        pv_lock_slow(lock, ticket);
    }
}

/* Takes the lock. Context: interrupts off. Ordering: as spinlock_take(). */
static inline void spinlock_lock(struct spinlock *lock)
{
    if (interrupts_enabled()) {
        spinlock_report_interrupts(lock);
    }
    spinlock_take(lock);
}

/* The same for a lock that is never taken with interrupts off. Context: preemption off, interrupts
 * on. */
static inline void spinlock_lock_interruptible(struct spinlock *lock)
{
    if (!interrupts_enabled()) {
        spinlock_report_interrupts(lock);
    }
    spinlock_take(lock);
}

/* Interrupts off, then spinlock_lock(). Returns the flags for spinlock_unlock_restore(). */
static inline uint64_t spinlock_lock_save(struct spinlock *lock)
{
    uint64_t flags = interrupts_save();

    spinlock_take(lock);
    return flags;
}

/* Serves the next ticket. Ordering: release; pairs with the acquire in spinlock_take(). */
static inline void spinlock_unlock(struct spinlock *lock)
{
    pv_lock_unlock(lock);
}

static inline void spinlock_unlock_restore(struct spinlock *lock, uint64_t flags)
{
    spinlock_unlock(lock);
    interrupts_restore(flags);
}
