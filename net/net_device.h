// SPDX-License-Identifier: MIT
/* Network devices: what a driver provides, and what everyone else may ask of a device.
 *
 * A driver fills in a struct net_device (name by net_device_register()), and calls
 * net_queue_interrupt() from its interrupt handler; nothing else of it runs in interrupt context.
 * Each queue pair has a thread of its own, pinned to the queue's CPU, that polls it:
 *
 *     interrupt                        poll thread of the queue
 *     net_queue_interrupt():           sleeps
 *       operations->interrupt_off()
 *       wake the thread          --->  operations->poll(budget),
 *                                        until it finds less than the budget
 *                                      operations->interrupt_on():
 *                                        more has come? off, poll again
 *                                      sleeps
 *
 * Invariant: a queue is polled by its thread alone, and its interrupt is off from the moment that
 * the thread is woken until it is about to sleep: under load there are no interrupts, only polls.
 * A frame has one owner at each instant (packet.h).
 *
 * Callers: drivers/ (register, interrupt), net/, shell commands. */
#pragma once

#include "arch/percpu.h"
#include "kernel/spinlock.h"
#include "kernel/wait_queue.h"
#include "net/packet.h"

#include <stdbool.h>
#include <stdint.h>

#define NET_DEVICE_MAX  8
#define NET_QUEUE_MAX   16 /* queue pairs of a device */
#define NET_POLL_BUDGET 64 /* frames in one poll */
#define MAC_BYTES       6

struct net_device;
struct net_program;
struct thread;

/* What a program (program.h) says of a frame, before any protocol has looked at it. Any other value
 * counts as abort. */
enum net_action {
    NET_ACTION_ABORT, /* a program went wrong: dropped, counted on its own */
    NET_ACTION_DROP,
    NET_ACTION_PASS, /* on to the protocols */
    NET_ACTION_TX,   /* back out of the queue it came from, as it is now */
    NET_ACTION_COUNT
};

struct net_device_operations {
    const char *driver; /* "virtio-net", "e1000", "e1000e" */

    /* Takes up to @budget received frames out of @queue and gives each to net_receive(), gives the
     * ring fresh buffers, and frees transmitted packets. Returns the number of frames.
     * Context: the queue's poll thread. */
    unsigned (*poll)(struct net_device *device, unsigned queue, unsigned budget);

    /* Lets the queue interrupt again. Returns true if frames had come before that took effect, for
     * which no interrupt may come: the caller polls again. Context: the poll thread. Ordering: the
     * enabling store is visible to the device before the ring is looked at (full barrier). */
    bool (*interrupt_on)(struct net_device *device, unsigned queue);
    /* No more interrupts, as far as the device can. Context: interrupt handler or poll thread. */
    void (*interrupt_off)(struct net_device *device, unsigned queue);

    /* Puts a frame of FRAME_BYTES_MIN or more into the transmit ring, after freeing what has been
     * sent. Returns false, the packet still the caller's, if the ring is full. The device may not
     * look before transmit_start(). Context: queue->transmit_lock held. */
    bool (*transmit)(struct net_device *device, unsigned queue, struct packet *packet);
    /* Tells the device about all frames put there since the last time. Context: as transmit. */
    void (*transmit_start)(struct net_device *device, unsigned queue);
    /* Frees what has been sent. Returns how many frames the device still holds. Context: as
     * transmit. */
    unsigned (*transmit_reclaim)(struct net_device *device, unsigned queue);
    /* Frames that the transmit ring holds, for the leak check; touches no more than our own
     * figures, so that it may be asked of a device that is dead or being reset. Context: as
     * transmit. */
    unsigned (*transmit_ring_count)(struct net_device *device, unsigned queue);

    /* Frames and buffers that the receive ring holds, for the leak check. Context: thread. */
    unsigned (*receive_ring_count)(struct net_device *device, unsigned queue);

    /* Resets the device and starts it anew: every packet in its rings is freed. Returns false with
     * the device stopped, and the reason logged, if it does not come back. Context: thread, while
     * no queue of it is polled nor transmitted to, and no interrupt handler is in interrupt_off()
     * or gets there (net_device_reset() sees to all that). What else a handler does, with the
     * configuration or the link, the driver has to keep out by itself. */
    bool (*reset)(struct net_device *device);

    /* For `nic stats`: calls show(name, value) for each counter that the device itself keeps; NULL:
     * none. Context: thread. */
    void (*device_counters)(struct net_device *device,
                            void (*show)(void *argument, const char *name, uint64_t value),
                            void *argument);
};

/* Written by the poll thread alone but where another writer is named; read by anyone. */
struct net_queue_counters {
    uint64_t interrupts; /* by the interrupt handler */
    uint64_t polls;
    uint64_t polls_empty; /* that found no frame */
    uint64_t polls_whole; /* that took the whole budget */
    uint64_t poll_ticks;  /* TSC ticks in polls, while the key net_poll_timed is on */
    uint64_t received, received_bytes;
    uint64_t no_buffer; /* frames for which the pool had no fresh buffer: dropped, buffer reused */
    uint64_t actions[NET_ACTION_COUNT]; /* frames by what the queue's program said of them */
    /* under transmit_lock: */
    uint64_t transmitted, transmitted_bytes;
    uint64_t transmit_full;   /* the ring had no room */
    uint64_t transmit_starts; /* doorbells */
};

struct net_queue {
    /* written once: */
    struct net_device *device;
    uint32_t index;
    uint32_t cpu; /* of its thread and of its interrupt */
    struct thread *thread;
    struct thread *clock_thread; /* NULL unless the device is polled by the clock */

    const struct net_program *program; /* atomic, by program.c; NULL: none, all frames pass */

    bool is_scheduled; /* atomic: there is work to look for; set by interrupts, cleared by polls */
    struct wait_queue wait;
    /* under wait.lock; the first two are read without it where being late does no harm: */
    bool is_paused;   /* net_device_reset() wants the thread to keep off */
    bool is_stopping; /* the thread is to end */
    bool is_polling;  /* the thread is not asleep */

    struct spinlock transmit_lock; /* interrupts off */
    bool is_started_late;          /* under transmit_lock: frames wait for transmit_start() */

    struct net_queue_counters counters __attribute__((aligned(64)));
};

struct net_device {
    /* by the driver, before net_device_register(): */
    const struct net_device_operations *operations;
    void *driver_data;
    uint8_t mac[MAC_BYTES];
    unsigned queue_count; /* pairs, 1 to NET_QUEUE_MAX */
    struct packet_pool *pool;
    const char *interrupt_kind; /* "msi-x", "msi", "intx", "none" */
    bool is_polled_by_clock;    /* no interrupt: a thread looks every millisecond */
    char location[16];          /* "00:03.0" */

    /* by net_device_register(): */
    char name[8]; /* "nic0" */
    unsigned index;
    unsigned hook_instance; /* receive.h: 0 to 3, or DYNAMIC_INSTANCE_NONE */
    struct net_queue queues[NET_QUEUE_MAX];
    uint8_t queue_of_cpu[CPU_MAX]; /* on which a CPU sends: its own, if it has one */

    /* atomic: */
    bool link_is_up; /* by the driver, through net_device_set_link() */
    bool is_dead;    /* the device spoke nonsense or did not come back from a reset */
    bool is_stopped; /* is being reset, or unregistered: nothing is sent */
    uint64_t link_changes;
    uint64_t resets;

    /* IPv4 configuration, host byte order, 0: none; by net_config.c, read by anyone: */
    uint32_t ipv4_address;
    uint32_t ipv4_mask;
    uint32_t ipv4_source; /* enum net_config_source */
    uint32_t ipv4_router; /* that DHCP named */

    uint64_t link_changes_seen; /* by housekeeping.c alone */
};

/* The CPU that the next one of a device's @queues queues is to live on: the CPUs in turn, without
 * CPU 0, where the shell is, as long as the others suffice to give each queue one of its own.
 * Drivers ask for all queues of a device in a row, and route the queue's interrupt there. */
uint32_t net_queue_choose_cpu(unsigned queues);

/* Gives the device a name, starts the poll threads of its queues (whose .cpu the driver has set)
 * and lets it run: interrupts may come from now on. Returns false, having said why, when there are
 * NET_DEVICE_MAX already or memory is short. Context: thread. */
bool net_device_register(struct net_device *device);

/* Waits for its interrupt handlers, ends the poll threads, and takes the device out of the list.
 * Its programs (program.h) are detached first.
 * For devices that tests make: a real one stays. Context: thread; nobody sends to it. */
void net_device_unregister(struct net_device *device);

/* The devices, in the order of registration; NULL: no such. */
unsigned net_device_count(void);
struct net_device *net_device_at(unsigned index);
struct net_device *net_device_find(const char *name);

/* Calls visit(device, argument) for each; meanwhile none is reset or taken out of the list: for
 * threads that do not know of tests' devices. Context: thread. */
void net_device_for_each(void (*visit)(struct net_device *device, void *argument), void *argument);

/* From the driver's interrupt handler: counts, turns the queue's interrupt off, wakes its thread.
 * While the device is being reset it counts and no more: the thread looks by itself when that is
 * over. Context: interrupt handler, any CPU, interrupts off throughout: a reset waits until each
 * CPU has had them on. */
void net_queue_interrupt(struct net_queue *queue);

/* Makes the queue's thread look, interrupt or not. Context: any but NMI. */
void net_queue_kick(struct net_queue *queue);

/* The driver has learnt that the link is up or down. Context: any but NMI. */
void net_device_set_link(struct net_device *device, bool is_up);

/* The device has said something that cannot be: logs @why once and leaves the device alone from
 * then on. Context: any but NMI. */
void net_device_fail(struct net_device *device, const char *why);

/* Sends a frame, padded to FRAME_BYTES_MIN here. Takes the packet in any case; what cannot be sent
 * is freed and counted by reason (link down, ring full, too long, device stopped). From a poll
 * thread the doorbell waits for the end of the poll. Returns whether the frame went into the ring.
 * Context: thread or poll thread. */
bool net_device_transmit(struct net_device *device, unsigned queue, struct packet *packet);

/* The same for @count packets and one doorbell; frames that find the ring full stay the caller's:
 * returns how many were taken, the first ones. For `pkt flood`. */
unsigned net_device_transmit_many(struct net_device *device, unsigned queue,
                                  struct packet **packets, unsigned count);

/* The queue on which the running CPU sends: its own, if one lives there, so that a poll thread
 * sends on the queue it polls, with one doorbell a poll; else any, the same one each time. */
unsigned net_device_transmit_queue(const struct net_device *device);

/* Frees what the device has sent, unless it is dead or being reset. Returns how many frames it
 * still has to send; 0 if it was left alone. Context: thread. */
unsigned net_device_reclaim(struct net_device *device);

/* Stops all queues, resets, starts them again. Returns false, having said why, if the device does
 * not come back. Context: thread. */
bool net_device_reset(struct net_device *device);

/* Packets of the device's pool by where they are; free + receive_rings + transmit_rings + elsewhere
 * = total, and elsewhere is 0 when nothing is going on. Context: thread. */
struct net_packet_census {
    uint32_t total, free, receive_rings, transmit_rings, elsewhere;
};
struct net_packet_census net_device_census(struct net_device *device);
