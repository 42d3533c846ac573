// SPDX-License-Identifier: MIT
/* What takes a spinlock, of native instructions; in a file of its own, as spinlock.c is to its
 * callers: no compiler sees both sides. Invariant: the same statements as there. Called by:
 * bench_pv_loops.c. */
#include "kernel/bench_pv_native.h"

#include "kernel/spinlock.h"

uint64_t native_copy_lock_save(struct spinlock *lock)
{
    uint64_t flags = native_copy_irq_save();
    uint32_t ticket;

    native_copy_irq_disable();
    ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    if (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
        native_copy_lock_slow(lock, ticket);
    }
    return flags;
}
