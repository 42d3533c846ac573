// SPDX-License-Identifier: MIT
/* Sending frames. Invariant: a packet given to net_device_transmit() is in a ring or back in its
 * pool when that returns; and a frame in a ring has its doorbell, at the latest at the end of the
 * poll that put it there. */
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "net/net_device.h"
#include "net/net_poll.h"

/* Whether the transmit rings may be touched. Under transmit_lock: a reset begins when the lock has
 * been free. In this order, acquire: pairs with the end of reset_locked() in net_device.c, which
 * sets is_dead and then clears is_stopped; the other way round a device that has just died could
 * look alive and not stopped. */
static bool is_usable_locked(const struct net_device *device)
{
    return !__atomic_load_n(&device->is_stopped, __ATOMIC_ACQUIRE) &&
           !__atomic_load_n(&device->is_dead, __ATOMIC_RELAXED);
}

/* Why nothing can be sent now, or NET_COUNTER_COUNT. */
static enum net_counter obstacle_to_sending(const struct net_device *device)
{
    if (!is_usable_locked(device)) {
        return NET_DROP_DEVICE_STOPPED;
    }
    return __atomic_load_n(&device->link_is_up, __ATOMIC_RELAXED) ? NET_COUNTER_COUNT
                                                                  : NET_DROP_LINK_DOWN;
}

/* Zeroes up to the least length: what the buffer held before stays here. */
static void frame_pad(struct packet *packet)
{
    if (packet->length < FRAME_BYTES_MIN) {
        uint32_t missing = FRAME_BYTES_MIN - packet->length;

        memset(packet_append(packet, missing), 0, missing);
    }
}

static bool transmit_locked(struct net_queue *queue, struct packet *packet)
{
    uint32_t length = packet->length;

    if (!queue->device->operations->transmit(queue->device, queue->index, packet)) {
        queue->counters.transmit_full++;
        return false;
    }
    queue->counters.transmitted++;
    queue->counters.transmitted_bytes += length;
    return true;
}

/* The queue's own thread rings once, at the end of its poll. */
static void start_locked(struct net_queue *queue)
{
    queue->is_started_late = thread_current() == queue->thread;
    if (!queue->is_started_late) {
        queue->counters.transmit_starts++;
        queue->device->operations->transmit_start(queue->device, queue->index);
    }
}

void net_queue_start_late(struct net_queue *queue)
{
    uint64_t flags;

    if (!__atomic_load_n(&queue->is_started_late, __ATOMIC_RELAXED)) {
        return; /* set by this thread alone */
    }
    flags = spinlock_lock_save(&queue->transmit_lock);
    queue->is_started_late = false;
    queue->counters.transmit_starts++;
    queue->device->operations->transmit_start(queue->device, queue->index);
    spinlock_unlock_restore(&queue->transmit_lock, flags);
}

bool net_device_transmit(struct net_device *device, unsigned queue_index, struct packet *packet)
{
    struct net_queue *queue = &device->queues[queue_index];
    enum net_counter reason;
    uint64_t flags;

    if (packet->length > FRAME_BYTES_MAX) {
        net_drop(packet, NET_DROP_FRAME_LONG);
        return false;
    }
    frame_pad(packet);
    flags = spinlock_lock_save(&queue->transmit_lock);
    reason = obstacle_to_sending(device);
    if (reason == NET_COUNTER_COUNT) {
        if (transmit_locked(queue, packet)) {
            start_locked(queue);
        } else {
            reason = NET_DROP_TRANSMIT_FULL;
        }
    }
    spinlock_unlock_restore(&queue->transmit_lock, flags);
    if (reason != NET_COUNTER_COUNT) {
        net_drop(packet, reason);
    }
    return reason == NET_COUNTER_COUNT;
}

unsigned net_device_transmit_many(struct net_device *device, unsigned queue_index,
                                  struct packet **packets, unsigned count)
{
    struct net_queue *queue = &device->queues[queue_index];
    unsigned sent = 0;
    uint64_t flags = spinlock_lock_save(&queue->transmit_lock);

    if (obstacle_to_sending(device) == NET_COUNTER_COUNT) {
        while (sent < count && packets[sent]->length <= FRAME_BYTES_MAX) {
            frame_pad(packets[sent]);
            if (!transmit_locked(queue, packets[sent])) {
                break;
            }
            sent++;
        }
        if (sent > 0) {
            start_locked(queue);
        }
    }
    spinlock_unlock_restore(&queue->transmit_lock, flags);
    return sent;
}

unsigned net_device_transmit_queue(const struct net_device *device)
{
    return device->queue_of_cpu[cpu_index()];
}

unsigned net_device_reclaim(struct net_device *device)
{
    unsigned held = 0;

    for (unsigned i = 0; i < device->queue_count; i++) {
        uint64_t flags = spinlock_lock_save(&device->queues[i].transmit_lock);

        if (is_usable_locked(device)) {
            held += device->operations->transmit_reclaim(device, i);
        }
        spinlock_unlock_restore(&device->queues[i].transmit_lock, flags);
    }
    return held;
}
