// SPDX-License-Identifier: MIT
/* The poll threads. Invariant: between two sleeps of a queue's thread its interrupt is off, and it
 * goes to sleep only after it has turned the interrupt on and then found the ring empty:
 *
 *     poll thread                             device, interrupt handler
 *     poll: ring empty                        frame into the ring; the interrupt is off: none
 *     interrupt_on                            frame into the ring; interrupt: is_scheduled = true
 *     looks again: a frame? poll again
 *     sleeps unless is_scheduled
 *
 * Called by net_device.c (start, stop, pause) and by drivers' interrupt handlers. */
#include "net/net_poll.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/patience.h"
#include "kernel/format.h"
#include "kernel/grace_period.h"
#include "kernel/thread.h"
#include "net/program.h"
#include "patching/dynamic_call.h"

DEFINE_STATIC_KEY_FALSE(net_poll_timed);

#define CLOCK_POLL_NS 1000000ull /* between polls of a device without an interrupt */

static bool flag_read(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

void net_queue_kick(struct net_queue *queue)
{
    /* Full order: pairs with poll_until_empty(); the thread that takes the flag sees what
     * came before it. Who finds it set leaves the waking to whoever set it. */
    if (!__atomic_exchange_n(&queue->is_scheduled, true, __ATOMIC_SEQ_CST)) {
        wait_queue_wake_one(&queue->wait);
    }
}

void net_queue_interrupt(struct net_queue *queue)
{
    queue->counters.interrupts++;
    /* Acquire: pairs with the end of reset_locked(), so that the ring is whole again; stop_locked()
     * in net_device.c says why a reset that begins behind this look does no harm. */
    if (!flag_read(&queue->device->is_stopped)) {
        queue->device->operations->interrupt_off(queue->device, queue->index);
        net_queue_kick(queue);
    }
}

/* Under wait.lock, so that a pause either sees is_polling or is seen here. */
static bool may_poll_locked(void *argument)
{
    struct net_queue *queue = argument;
    bool work = flag_read(&queue->is_scheduled) && !queue->is_paused;

    queue->is_polling = work && !queue->is_stopping;
    return work || queue->is_stopping;
}

/* Whether the thread is to leave the queue alone. */
static bool is_kept_off(const struct net_queue *queue)
{
    return flag_read(&queue->is_paused) || flag_read(&queue->is_stopping) ||
           flag_read(&queue->device->is_dead);
}

static unsigned poll_timed(struct net_queue *queue)
{
    uint64_t start = read_tsc();
    unsigned count = queue->device->operations->poll(queue->device, queue->index, NET_POLL_BUDGET);

    queue->counters.poll_ticks += read_tsc() - start;
    return count;
}

/* One poll, then the doorbell for what it sent. */
static unsigned queue_poll(struct net_queue *queue)
{
    struct net_device *device = queue->device;
    unsigned count = static_branch_unlikely(&net_poll_timed)
                         ? poll_timed(queue)
                         : device->operations->poll(device, queue->index, NET_POLL_BUDGET);

    queue->counters.polls++;
    queue->counters.polls_empty += count == 0 ? 1 : 0;
    queue->counters.polls_whole += count >= NET_POLL_BUDGET ? 1 : 0;
    net_queue_start_late(queue);
    return count;
}

static void poll_until_empty(struct net_queue *queue)
{
    struct net_device *device = queue->device;

    /* Before the ring is looked at: pairs with the exchange in net_queue_kick(). */
    (void)__atomic_exchange_n(&queue->is_scheduled, false, __ATOMIC_SEQ_CST);
    while (!is_kept_off(queue)) {
        xdp_call_break(receive);
        dynamic_calls_break();
        thread_checkpoint(); /* between two polls the thread is in no program and no hook */
        if (queue_poll(queue) < NET_POLL_BUDGET) {
            if (!device->operations->interrupt_on(device, queue->index)) {
                break;
            }
            device->operations->interrupt_off(device, queue->index);
        }
    }
}

/* A thread that is told to keep off stays asleep: the work it leaves is looked for again when the
 * pause ends (net_queue_resume()). */
static void poll_thread(void *argument)
{
    struct net_queue *queue = argument;

    for (;;) {
        uint64_t flags;

        wait_queue_wait_until(&queue->wait, may_poll_locked, queue);
        if (flag_read(&queue->is_stopping)) {
            return;
        }
        poll_until_empty(queue);
        flags = spinlock_lock_save(&queue->wait.lock);
        queue->is_polling = false;
        spinlock_unlock_restore(&queue->wait.lock, flags);
    }
}

/* Stands in for the interrupt of a device that has none. */
static void clock_thread(void *argument)
{
    struct net_queue *queue = argument;

    while (!flag_read(&queue->is_stopping)) {
        thread_sleep_ns(CLOCK_POLL_NS);
        net_queue_kick(queue);
    }
}

bool net_queue_start(struct net_queue *queue)
{
    char name[THREAD_NAME_MAX];

    format_text(name, sizeof(name), "net/%s:%u", queue->device->name, queue->index);
    queue->thread = thread_create(name, queue->cpu, poll_thread, queue);
    if (queue->thread != NULL && queue->device->is_polled_by_clock) {
        format_text(name, sizeof(name), "clock/%s:%u", queue->device->name, queue->index);
        queue->clock_thread = thread_create(name, queue->cpu, clock_thread, queue);
        if (queue->clock_thread == NULL) {
            net_queue_stop(queue);
            return false;
        }
    }
    return queue->thread != NULL;
}

static void flag_set(struct net_queue *queue, bool *flag, bool value)
{
    uint64_t flags = spinlock_lock_save(&queue->wait.lock);

    __atomic_store_n(flag, value, __ATOMIC_RELEASE);
    spinlock_unlock_restore(&queue->wait.lock, flags);
}

void net_queue_stop(struct net_queue *queue)
{
    flag_set(queue, &queue->is_stopping, true);
    wait_queue_wake_all(&queue->wait);
    if (queue->clock_thread != NULL) {
        thread_join(queue->clock_thread);
    }
    thread_join(queue->thread);
}

static bool is_polling(struct net_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->wait.lock);
    bool polling = queue->is_polling;

    spinlock_unlock_restore(&queue->wait.lock, flags);
    return polling;
}

bool net_queue_pause(struct net_queue *queue, uint64_t patience_ns)
{
    struct patience patience = patience_begin(clock_now_ns(), patience_ns);

    flag_set(queue, &queue->is_paused, true);
    while (is_polling(queue)) {
        if (patience_spent(&patience, clock_now_ns()) > patience_ns) {
            return false;
        }
        thread_sleep_ns(100000);
    }
    return true;
}

void net_queue_resume(struct net_queue *queue)
{
    flag_set(queue, &queue->is_paused, false);
    __atomic_store_n(&queue->is_scheduled, true, __ATOMIC_SEQ_CST);
    wait_queue_wake_all(&queue->wait);
}
