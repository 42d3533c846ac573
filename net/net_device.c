// SPDX-License-Identifier: MIT
/* The list of network devices; their life and their links. Invariant: a device that is in the list
 * has running poll threads; while it is reset nothing is sent or polled, and no interrupt handler
 * is at it. */
#include "net/net_device.h"

#include "arch/percpu.h"
#include "kernel/cross_call.h"
#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/housekeeping.h"
#include "net/net_poll.h"
#include "net/program.h"
#include "net/receive.h"

#define PAUSE_PATIENCE_NS 5000000000ull

static struct mutex list_mutex = MUTEX("network devices"); /* for changes and resets */
/* Atomic entries: set when the device works, NULL again behind net_device_unregister(). */
static struct net_device *devices[NET_DEVICE_MAX];
static uint32_t queues_placed; /* atomic: by net_queue_choose_cpu() */

uint32_t net_queue_choose_cpu(unsigned queues)
{
    bool is_first_needed = queues >= cpu_count();
    uint32_t present = cpu_present_count();
    uint32_t cpu = 0;

    for (uint32_t tries = 0; tries < present; tries++) {
        cpu = __atomic_add_fetch(&queues_placed, 1, __ATOMIC_RELAXED) % present;
        if ((cpu != 0 || is_first_needed) && cpu_is_online(cpu_by_index(cpu))) {
            return cpu;
        }
    }
    return 0;
}

unsigned net_device_count(void)
{
    unsigned count = 0;

    while (count < NET_DEVICE_MAX && net_device_at(count) != NULL) {
        count++;
    }
    return count;
}

struct net_device *net_device_at(unsigned index)
{
    /* Acquire: pairs with the release in device_publish(); the device's fields come first. */
    return index < NET_DEVICE_MAX ? __atomic_load_n(&devices[index], __ATOMIC_ACQUIRE) : NULL;
}

struct net_device *net_device_find(const char *name)
{
    for (unsigned i = 0; net_device_at(i) != NULL; i++) {
        if (strcmp(net_device_at(i)->name, name) == 0) {
            return net_device_at(i);
        }
    }
    return NULL;
}

void net_device_for_each(void (*visit)(struct net_device *device, void *argument), void *argument)
{
    mutex_lock(&list_mutex);
    for (unsigned i = 0; net_device_at(i) != NULL; i++) {
        visit(net_device_at(i), argument);
    }
    mutex_unlock(&list_mutex);
}

static void device_publish(unsigned index, struct net_device *device)
{
    __atomic_store_n(&devices[index], device, __ATOMIC_RELEASE);
}

static void queue_prepare(struct net_device *device, unsigned index)
{
    struct net_queue *queue = &device->queues[index];

    *queue = (struct net_queue){
        .device = device,
        .index = index,
        .cpu = queue->cpu,
        .wait = WAIT_QUEUE("network queue"),
        .transmit_lock = SPINLOCK("transmit"),
        /* The first poll gives the device its interrupts and finds what came before. */
        .is_scheduled = true,
    };
}

/* For net_device_transmit_queue(). The first of several queues on a CPU is its own. */
static void map_queues(struct net_device *device)
{
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        device->queue_of_cpu[cpu] = (uint8_t)(cpu % device->queue_count);
    }
    for (unsigned i = device->queue_count; i-- > 0;) {
        device->queue_of_cpu[device->queues[i].cpu] = (uint8_t)i;
    }
}

/* Starts the threads of all queues, or none. */
static bool queues_start(struct net_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        queue_prepare(device, i);
        if (!net_queue_start(&device->queues[i])) {
            while (i-- > 0) {
                net_queue_stop(&device->queues[i]);
            }
            return false;
        }
    }
    return true;
}

static bool register_locked(struct net_device *device)
{
    unsigned index = net_device_count();

    if (index == NET_DEVICE_MAX) {
        log_error("%s at %s: there are %u network devices already", device->operations->driver,
                  device->location, NET_DEVICE_MAX);
        return false;
    }
    device->index = index;
    format_text(device->name, sizeof(device->name), "nic%u", index);
    map_queues(device);
    device->hook_instance = dynamic_call_instance_take(hook);
    if (!queues_start(device)) {
        log_error("%s: no memory for its threads", device->name);
        dynamic_call_instance_release(hook, device->hook_instance);
        return false;
    }
    device_publish(index, device);
    return true;
}

bool net_device_register(struct net_device *device)
{
    bool registered;

    mutex_lock(&list_mutex);
    registered = register_locked(device);
    mutex_unlock(&list_mutex);
    return registered;
}

/* From here on nobody begins to send or to handle an interrupt of the device, and no interrupt
 * handler is at it any more:
 *
 *     stop_locked()                         net_queue_interrupt() on another CPU
 *     is_stopped = true                     is_stopped? no
 *     every CPU is interrupted  ----------- interrupts are off: not yet
 *     waits                                 operations->interrupt_off(): the ring is whole
 *                                           returns; the CPU answers
 *     goes on: the rings may change         is_stopped? yes: the device is left alone
 *
 * Without the wait a handler that has looked too early meets a ring taken apart. */
static void stop_locked(struct net_device *device)
{
    __atomic_store_n(&device->is_stopped, true, __ATOMIC_SEQ_CST);
    interrupt_handlers_wait();
}

void net_device_unregister(struct net_device *device)
{
    net_program_detach_all(device);
    mutex_lock(&list_mutex);
    stop_locked(device);
    for (unsigned i = 0; i < device->queue_count; i++) {
        net_queue_stop(&device->queues[i]);
    }
    dynamic_call_instance_release(hook, device->hook_instance);
    for (unsigned i = device->index; i < NET_DEVICE_MAX; i++) { /* the others move up */
        struct net_device *next = net_device_at(i + 1);

        if (next != NULL) {
            next->index = i;
        }
        device_publish(i, next);
    }
    mutex_unlock(&list_mutex);
}

void net_device_set_link(struct net_device *device, bool is_up)
{
    if (__atomic_exchange_n(&device->link_is_up, is_up, __ATOMIC_ACQ_REL) != is_up) {
        __atomic_fetch_add(&device->link_changes, 1, __ATOMIC_RELAXED);
        log_info("%s at %s: link %s", device->operations->driver, device->location,
                 is_up ? "up" : "down");
        net_housekeeping_wake();
    }
}

void net_device_fail(struct net_device *device, const char *why)
{
    if (!__atomic_exchange_n(&device->is_dead, true, __ATOMIC_ACQ_REL)) {
        log_error("%s at %s: %s; it is left alone now, `nic %s reset` may help",
                  device->operations->driver, device->location, why, device->name);
    }
}

/* Waits until nobody is inside a transmit of the device; those that follow see is_stopped. */
static void wait_for_transmitters(struct net_device *device)
{
    for (unsigned i = 0; i < device->queue_count; i++) {
        uint64_t flags = spinlock_lock_save(&device->queues[i].transmit_lock);

        device->queues[i].is_started_late = false;
        spinlock_unlock_restore(&device->queues[i].transmit_lock, flags);
    }
}

static bool pause_all(struct net_device *device)
{
    bool paused = true;

    for (unsigned i = 0; i < device->queue_count; i++) {
        paused &= net_queue_pause(&device->queues[i], PAUSE_PATIENCE_NS);
    }
    return paused;
}

static bool reset_locked(struct net_device *device)
{
    bool came_back = false;

    stop_locked(device);
    if (!pause_all(device)) {
        log_error("%s: not reset: a queue is polled for seconds", device->name);
    } else {
        wait_for_transmitters(device);
        came_back = device->operations->reset(device);
        __atomic_store_n(&device->is_dead, !came_back, __ATOMIC_RELEASE);
        device->resets++;
    }
    __atomic_store_n(&device->is_stopped, false, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < device->queue_count; i++) {
        net_queue_resume(&device->queues[i]);
    }
    return came_back;
}

bool net_device_reset(struct net_device *device)
{
    bool came_back;

    mutex_lock(&list_mutex);
    came_back = reset_locked(device);
    mutex_unlock(&list_mutex);
    return came_back;
}

static unsigned transmit_ring_count(struct net_queue *queue)
{
    uint64_t flags = spinlock_lock_save(&queue->transmit_lock);
    unsigned count = queue->device->operations->transmit_ring_count(queue->device, queue->index);

    spinlock_unlock_restore(&queue->transmit_lock, flags);
    return count;
}

struct net_packet_census net_device_census(struct net_device *device)
{
    struct net_packet_census census = {0};
    struct packet_pool_counts counts;

    net_device_reclaim(device);
    for (unsigned i = 0; i < device->queue_count; i++) {
        census.receive_rings += device->operations->receive_ring_count(device, i);
        census.transmit_rings += transmit_ring_count(&device->queues[i]);
    }
    counts = packet_pool_count(device->pool);
    census.total = counts.total;
    census.free = counts.free;
    census.elsewhere = counts.total - counts.free - census.receive_rings - census.transmit_rings;
    return census;
}
