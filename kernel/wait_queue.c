// SPDX-License-Identifier: MIT
/* Wait queues. Invariant: a thread in the queue is BLOCKED, or was just woken and re-checks its
 * condition; nobody is taken out of the queue without being woken. */
#include "kernel/wait_queue.h"

#include "arch/instructions.h"
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

void wait_queue_wait_until(struct wait_queue *queue, bool (*condition)(void *argument),
                           void *argument)
{
    if (!interrupts_enabled() || this_cpu()->preempt_count != 0) {
        panic("%s: waited with interrupts off or a spinlock held", queue->lock.name);
    }
    for (;;) {
        uint64_t flags = spinlock_lock_save(&queue->lock);
        if (condition(argument)) {
            spinlock_unlock_restore(&queue->lock, flags);
            return;
        }
        queue_append_locked(queue, thread_current());
        /* Interrupts stay off from here to the switch: a preemption in between would take this
         * thread off its CPU for good if the waker has not come yet and finds it not BLOCKED. */
        thread_set_blocked();
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
