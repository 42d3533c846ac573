// SPDX-License-Identifier: MIT
/* Waiting for a spinlock, natively: by spinning. Invariant: a lock that is never released is
 * reported, not waited for in silence; of CPUs that halt instead, kernel/choice_worker.c reports
 * it, if its own CPU is awake. Called by: the sites of op lock_slow. */
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
