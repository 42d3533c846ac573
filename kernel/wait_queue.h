// SPDX-License-Identifier: MIT
/* Threads waiting for a condition. Invariant: the condition is evaluated under the queue's lock,
 * and a waker changes it before it takes that lock, so no wake-up is lost:
 *
 *   waiter                                  waker
 *   lock; condition() false                 make the condition true
 *   join the queue, state = BLOCKED         lock       <- waits for the waiter's unlock
 *   unlock; schedule away                   take the waiter out, wake it; unlock
 *
 * Callers: mutex.c, console input, thread_join(). */
#pragma once

#include <stdbool.h>

#include "kernel/spinlock.h"

struct thread;

struct wait_queue {
    struct spinlock lock;
    /* under lock: first in, first out, linked through thread->wait_next */
    struct thread *first;
    struct thread *last;
};

#define WAIT_QUEUE(name)                                                                           \
    {                                                                                              \
        .lock = SPINLOCK(name)                                                                     \
    }

/* Blocks until condition(argument) is true. @condition runs with the queue's lock held and
 * interrupts off: it reads, it does not block. Context: thread, interrupts on, no spinlock held.
 * Ordering: sees everything the waker wrote before wait_queue_wake_*(). */
void wait_queue_wait_until(struct wait_queue *queue, bool (*condition)(void *argument),
                           void *argument);

/* Wakes the longest waiter / every waiter, who evaluate their condition again.
 * Context: any but NMI. */
void wait_queue_wake_one(struct wait_queue *queue);
void wait_queue_wake_all(struct wait_queue *queue);
