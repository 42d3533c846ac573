// SPDX-License-Identifier: MIT
/* The end of a spin that never ends. Invariant: a lock that is not released is reported, not waited
 * for in silence. Called by kernel/spinlock.h. */
#include "kernel/spinlock.h"

#include "kernel/panic.h"

_Noreturn void spinlock_report_stuck(const struct spinlock *lock)
{
    panic("spinlock '%s' is never released: ticket %u is served, %u were drawn", lock->name,
          lock->serving, lock->next);
}
