// SPDX-License-Identifier: MIT
/* The split virtqueue ("Split Virtqueues", Virtual I/O Device specification 1.1, section 2.6): two
 * rings in memory, through which driver and device hand buffers to each other. Pure: works on the
 * memory that the caller gives, touches no device, so tests/host runs it against a device of its
 * own.
 *
 * Invariant: whatever the device writes, nothing outside the queue's memory is read or written, and
 * each token is handed back exactly once: by virtio_queue_take() or by virtio_queue_detach(). What
 * cannot be (an unknown buffer, an index beyond what was offered, more bytes than fit) makes the
 * queue broken: `broken` says why, and from then on nothing is taken out of it.
 *
 *     virtio_queue_initialize(queue, memory, size, event_index);
 *     virtio_queue_add(queue, physical, bytes, VIRTIO_DEVICE_WRITES, packet);    ... more
 *     virtio_queue_publish(queue);
 *     if (virtio_queue_should_notify(queue)) { ring the doorbell }
 *     count = virtio_queue_take(queue, entries, 64);
 *
 * Context: one caller at a time for each queue; virtio_queue_interrupt_off() and
 * virtio_queue_has_arrived() at any time. Callers: drivers/virtio_pci.c, virtio_net*.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VIRTIO_QUEUE_SIZE_MAX     256   /* entries that we use of a queue */
#define VIRTIO_QUEUE_OFFERED_MAX  32768 /* entries that a device may offer */
#define VIRTIO_QUEUE_MEMORY_BYTES 8192  /* what a queue of VIRTIO_QUEUE_SIZE_MAX needs, at most */

/* What the device does with a buffer. */
enum virtio_direction { VIRTIO_DEVICE_READS, VIRTIO_DEVICE_WRITES };

/* The layouts that the specification gives; little-endian, as x86 is. */
struct virtio_descriptor {
    uint64_t address;
    uint32_t length;
    uint16_t flags;
    uint16_t next;
};
#define VIRTIO_DESCRIPTOR_NEXT  1u
#define VIRTIO_DESCRIPTOR_WRITE 2u

struct virtio_available {
    uint16_t flags;
    uint16_t index;
    uint16_t ring[]; /* as many as the queue has entries; behind them: used_event */
};
#define VIRTIO_AVAILABLE_NO_INTERRUPT 1u

struct virtio_used_entry {
    uint32_t id;
    uint32_t length;
};

struct virtio_used {
    uint16_t flags;
    uint16_t index;
    struct virtio_used_entry ring[]; /* behind them: available_event */
};
#define VIRTIO_USED_NO_NOTIFY 1u

/* What came back. */
struct virtio_taken {
    void *token;
    uint32_t length; /* bytes that the device says it wrote: at most those of the buffer */
};

/* What we know of a descriptor; never read from memory that the device can write. */
struct virtio_slot {
    void *token;       /* NULL: the device does not have it, or not as the head of a chain */
    uint32_t capacity; /* bytes that the device may write */
    uint16_t second;   /* the other descriptor of a chain, or VIRTIO_NO_DESCRIPTOR */
};
#define VIRTIO_NO_DESCRIPTOR 0xffffu

struct virtio_queue {
    /* written once, in virtio_queue_initialize(): */
    struct virtio_descriptor *descriptors;
    struct virtio_available *available;
    struct virtio_used *used;
    uint16_t *used_event;      /* we write: interrupt when used.index passes this */
    uint16_t *available_event; /* the device writes: notify when available.index passes this */
    uint16_t size;             /* a power of two */
    bool has_events;           /* EVENT_IDX was negotiated */
    /* by the queue's caller: */
    uint16_t available_index; /* next to fill; free-running, as are the others */
    uint16_t notified_index;  /* available_index when the need to notify was last looked at */
    uint16_t used_index;      /* next to take; read by anyone */
    uint16_t free_count;
    uint16_t in_flight; /* buffers (chains) that the device has */
    const char *broken; /* what the device did, or NULL; read by anyone */
    uint16_t free_ids[VIRTIO_QUEUE_SIZE_MAX];
    struct virtio_slot slots[VIRTIO_QUEUE_SIZE_MAX];
};

/* How many of @offered entries we use: writes it to @size and returns NULL, or returns why a queue
 * of that size cannot be. */
const char *virtio_queue_choose_size(uint32_t offered, uint16_t *size);

/* Lays out a queue of @size entries in @memory, which is zeroed: VIRTIO_QUEUE_MEMORY_BYTES, aligned
 * to 16 bytes at least. All entries are free, interrupts off. */
void virtio_queue_initialize(struct virtio_queue *queue, void *memory, uint16_t size,
                             bool has_events);

/* Puts one buffer into the available ring. The device may not look before virtio_queue_publish().
 * @token is not NULL. Returns false if the queue has no free entry. */
bool virtio_queue_add(struct virtio_queue *queue, uint64_t address, uint32_t length,
                      enum virtio_direction direction, void *token);

/* The same for a question that the device reads and an answer that it writes, chained. */
bool virtio_queue_add_request(struct virtio_queue *queue, uint64_t question,
                              uint32_t question_length, uint64_t answer, uint32_t answer_length,
                              void *token);

/* Shows the device everything added so far, by one store. Ordering: release. */
void virtio_queue_publish(struct virtio_queue *queue);

/* Whether the device wants to be told of what was published since the last call. Ordering: full
 * barrier before the look. */
bool virtio_queue_should_notify(struct virtio_queue *queue);

/* Takes up to @count buffers back, in the order in which the device gave them. Returns how many.
 * Ordering: what the device wrote before is visible. */
unsigned virtio_queue_take(struct virtio_queue *queue, struct virtio_taken *taken, unsigned count);

/* Whether there seems to be something to take. A hint to anyone but the queue's caller. */
bool virtio_queue_has_arrived(const struct virtio_queue *queue);

/* Asks for no interrupts. With EVENT_IDX the wish wears off after 65535 more buffers, so it is
 * repeated now and then. */
void virtio_queue_interrupt_off(struct virtio_queue *queue);

/* Asks for an interrupt with the next buffer. Returns true if one has come meanwhile, for which
 * none may be sent. Ordering: full barrier between the wish and the look. */
bool virtio_queue_interrupt_on(struct virtio_queue *queue);

/* Takes back any buffer that the device still has; NULL: none. Only after the device was reset: it
 * must have forgotten the queue. */
void *virtio_queue_detach(struct virtio_queue *queue);
