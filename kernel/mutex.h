// SPDX-License-Identifier: MIT
/* A lock whose waiters sleep. Invariant: `owner` is NULL or the one thread inside. For work that
 * may take long or wait for other CPUs (the patch lock); spinlocks are for a few dozen
 * instructions. */
#pragma once

#include <stdbool.h>

#include "kernel/wait_queue.h"

struct mutex {
    struct wait_queue waiters;
    /* under waiters.lock: */
    struct thread *owner;
};

#define MUTEX(name)                                                                                \
    {                                                                                              \
        .waiters = WAIT_QUEUE(name)                                                                \
    }

/* Takes the mutex, sleeping while another thread has it. Taking it twice panics.
 * Context: thread, interrupts on, no spinlock held. Before thread_initialize() it may be called on
 * the boot CPU, where it never waits. Ordering: acquire; the partner is mutex_unlock(). */
void mutex_lock(struct mutex *mutex);

/* Ordering: release. Unlocking what the caller does not hold panics. */
void mutex_unlock(struct mutex *mutex);

bool mutex_is_held(const struct mutex *mutex);
