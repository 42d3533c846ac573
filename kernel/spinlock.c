// SPDX-License-Identifier: MIT
/* Locks that are misused. Invariant: a lock that is never released is reported, not waited for in
 * silence; so is one taken in the wrong context. Called by kernel/spinlock.h. */
#include "kernel/spinlock.h"

#include "kernel/panic.h"

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
