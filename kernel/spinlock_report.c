// SPDX-License-Identifier: MIT
/* Spinlocks that are misused. Invariant: the report names the lock. Called by: kernel/spinlock.c.
 */
#include "kernel/panic.h"
#include "kernel/spinlock.h"

_Noreturn void spinlock_report_stuck(const struct spinlock *lock)
{
    panic("spinlock '%s' is never released: ticket %u is served, %u were drawn", lock->name,
          lock->serving, lock->next);
}

_Noreturn void spinlock_report_interrupts(const struct spinlock *lock)
{
    panic("spinlock '%s': taken with interrupts %s", lock->name,
          interrupts_enabled() ? "on" : "off");
}
