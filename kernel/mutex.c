// SPDX-License-Identifier: MIT
/* Sleeping mutex over a wait queue. Invariant: owner changes only under the queue's lock. */
#include "kernel/mutex.h"

#include "kernel/panic.h"
#include "kernel/thread.h"

/* Before there are threads the boot context is the only one: it gets a name of its own. */
#define BOOT_OWNER ((struct thread *)1)

static struct thread *self_or_boot(void)
{
    struct thread *self = thread_current();
    return self != NULL ? self : BOOT_OWNER;
}

/* Condition and action in one: under the queue's lock nobody can come between. */
static bool mutex_try_locked(void *argument)
{
    struct mutex *mutex = argument;
    if (mutex->owner != NULL) {
        return false;
    }
    mutex->owner = self_or_boot();
    return true;
}

void mutex_lock(struct mutex *mutex)
{
    struct thread *self = self_or_boot();
    if (__atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == self) {
        panic("mutex %s: taken twice by the same thread", mutex->waiters.lock.name);
    }
    if (self == BOOT_OWNER) {
        if (!mutex_try_locked(mutex)) {
            panic("mutex %s: taken twice during early boot", mutex->waiters.lock.name);
        }
        return;
    }
    wait_queue_wait_until(&mutex->waiters, mutex_try_locked, mutex);
}

void mutex_unlock(struct mutex *mutex)
{
    if (!mutex_is_held(mutex)) {
        panic("mutex %s: unlocked by a thread that does not hold it", mutex->waiters.lock.name);
    }
    uint64_t flags = spinlock_lock_save(&mutex->waiters.lock);
    mutex->owner = NULL;
    spinlock_unlock_restore(&mutex->waiters.lock, flags);
    wait_queue_wake_one(&mutex->waiters);
}

bool mutex_is_held(const struct mutex *mutex)
{
    return __atomic_load_n(&mutex->owner, __ATOMIC_RELAXED) == self_or_boot();
}
