// SPDX-License-Identifier: MIT
/* Threads waiting for a condition. Invariant: the condition is evaluated under the queue's lock,
 * and a waker changes it before it takes that lock, so no wake-up is lost:
 *
 *   waiter                                  waker
 *   lock; condition() false                 make the condition true
 *   join the queue, state = BLOCKED         lock       <- waits for the waiter's unlock
 *   unlock; schedule away                   take the waiter out, wake it; unlock
 *
 * A wait with a deadline stands in the sleepers of its CPU too, and either side may end it first.
 * Whoever makes the thread RUNNABLE, under its run-queue lock, takes it out of the sleepers; out of
 * the queue it is taken under the queue's lock by the waker, or by itself:
 *
 *   waiter                                  timer of its CPU         waker
 *   lock; condition() false
 *   join the queue, BLOCKED, in sleepers
 *   unlock; schedule away
 *                                           RUNNABLE, out of sleepers
 *                                                                    condition = true
 *                                                                    lock; take the waiter out,
 *   lock       <- waits for the waker                                wake it: RUNNABLE, nothing
 *   still in the queue? leave it                                     to do; unlock
 *   condition() true: returns true
 *
 * A waiter that the timer woke thus asks once more under the lock: a wake-up given to it while it
 * was on its way is not lost, and it never leaves the function with its name in the queue.
 *
 * Callers: mutex.c, console input, thread_join(), net/. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/spinlock.h"

struct thread;

#define WAIT_NO_DEADLINE UINT64_MAX

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

/* The same, but at most until clock_now_ns() >= @deadline_ns (WAIT_NO_DEADLINE: for ever). Returns
 * whether the condition was true; false never comes before the deadline. */
bool wait_queue_wait_until_deadline(struct wait_queue *queue, bool (*condition)(void *argument),
                                    void *argument, uint64_t deadline_ns);

/* Wakes the longest waiter / every waiter, who evaluate their condition again.
 * Context: any but NMI. */
void wait_queue_wake_one(struct wait_queue *queue);
void wait_queue_wake_all(struct wait_queue *queue);
