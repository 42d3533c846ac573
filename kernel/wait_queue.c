// SPDX-License-Identifier: MIT
/* Wait queues. Invariant: a thread in the queue is BLOCKED, or was just woken by its deadline and
 * is about to leave; nobody is taken out of the queue without being awake. */
#include "kernel/wait_queue.h"

#include "arch/clock.h"
#include "arch/interrupts.h"
#include "kernel/panic.h"
#include "kernel/thread.h"

static void queue_append_locked(struct wait_queue *queue, struct thread *thread)
{
    thread->wait_next = NULL;
    if (queue->last == NULL) {
        queue->first = thread;
    } else {
        queue->last->wait_next = thread;
    }
    queue->last = thread;
}

static struct thread *queue_pop_locked(struct wait_queue *queue)
{
    struct thread *thread = queue->first;
    if (thread != NULL) {
        queue->first = thread->wait_next;
        if (queue->first == NULL) {
            queue->last = NULL;
        }
    }
    return thread;
}

/* Takes @thread out of the queue if it is there: a deadline woke it, not a waker. */
static void queue_remove_locked(struct wait_queue *queue, struct thread *thread)
{
    struct thread *previous = NULL;
    struct thread **link = &queue->first;

    while (*link != NULL && *link != thread) {
        previous = *link;
        link = &previous->wait_next;
    }
    if (*link == NULL) {
        return;
    }
    *link = thread->wait_next;
    if (queue->last == thread) {
        queue->last = previous;
    }
}

void wait_queue_wait_until(struct wait_queue *queue, bool (*condition)(void *argument),
                           void *argument)
{
    wait_queue_wait_until_deadline(queue, condition, argument, WAIT_NO_DEADLINE);
}

bool wait_queue_wait_until_deadline(struct wait_queue *queue, bool (*condition)(void *argument),
                                    void *argument, uint64_t deadline_ns)
{
    bool has_deadline = deadline_ns != WAIT_NO_DEADLINE;
    struct thread *self = thread_current();

    if (!interrupts_enabled() || this_cpu()->preempt_count != 0) {
        panic("%s: waited with interrupts off or a spinlock held", queue->lock.name);
    }
    for (;;) {
        uint64_t flags = spinlock_lock_save(&queue->lock);
        bool is_met = condition(argument);
        if (has_deadline) {
            queue_remove_locked(queue, self);
        }
        if (is_met || (has_deadline && clock_now_ns() >= deadline_ns)) {
            spinlock_unlock_restore(&queue->lock, flags);
            return is_met;
        }
        queue_append_locked(queue, self);
        /* Interrupts stay off from here to the switch: a preemption in between would take this
         * thread off its CPU for good if the waker has not come yet and finds it not BLOCKED. */
        thread_set_blocked(deadline_ns);
        spinlock_unlock(&queue->lock);
        thread_block_prepared();
        interrupts_restore(flags);
    }
}

void wait_queue_wake_one(struct wait_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->lock);
    struct thread *thread = queue_pop_locked(queue);
    if (thread != NULL) {
        thread_wake(thread);
    }
    spinlock_unlock_restore(&queue->lock, flags);
}

void wait_queue_wake_all(struct wait_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->lock);
    struct thread *thread;
    while ((thread = queue_pop_locked(queue)) != NULL) {
        thread_wake(thread);
    }
    spinlock_unlock_restore(&queue->lock, flags);
}
