// SPDX-License-Identifier: MIT
/* Taking a spinlock. Invariant: a lock that is never released is reported, not waited for in
 * silence; so is one taken in the wrong context. The slow path and the release are paravirt ops: a
 * guest may halt instead of spinning. Called by: every room. */
#include "kernel/spinlock.h"

void native_lock_slow(struct spinlock *lock, uint32_t ticket)
{
    uint64_t spins = 0;

    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
        cpu_relax();
        if (++spins == SPINLOCK_SPINS_MAX) {
            spinlock_report_stuck(lock);
        }
    }
}

static inline __attribute__((always_inline)) void lock_take(struct spinlock *lock)
{
    uint32_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

    if (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
        pv_lock_slow(lock, ticket);
    }
}

void spinlock_lock(struct spinlock *lock)
{
    if (interrupts_enabled()) {
        spinlock_report_interrupts(lock);
    }
    lock_take(lock);
}

void spinlock_lock_interruptible(struct spinlock *lock)
{
    if (!interrupts_enabled()) {
        spinlock_report_interrupts(lock);
    }
    lock_take(lock);
}

uint64_t spinlock_lock_save(struct spinlock *lock)
{
    uint64_t flags = interrupts_save();

    lock_take(lock);
    return flags;
}
