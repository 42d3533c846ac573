// SPDX-License-Identifier: MIT
/* The split virtqueue. Invariant: what the device can write is read once, checked, and only then
 * used; which descriptors it has is known from `slots`, which it cannot reach. Called by
 * virtio_pci.c and virtio_net*.c, and by tests/host against a device that lies. */
#include "drivers/virtio_queue.h"

#define RING_ALIGNMENT 64u /* the device writes `used`, we write the rest: other cache lines */

static uint16_t ring_slot(const struct virtio_queue *queue, uint16_t index)
{
    return index & (queue->size - 1u);
}

const char *virtio_queue_choose_size(uint32_t offered, uint16_t *size)
{
    if (offered == 0) {
        return "has no entries";
    }
    if (offered > VIRTIO_QUEUE_OFFERED_MAX) {
        return "has more than 32768 entries";
    }
    if ((offered & (offered - 1)) != 0) {
        return "has a number of entries that is no power of two";
    }
    *size = offered < VIRTIO_QUEUE_SIZE_MAX ? (uint16_t)offered : VIRTIO_QUEUE_SIZE_MAX;
    return NULL;
}

static size_t align_up(size_t bytes)
{
    return (bytes + RING_ALIGNMENT - 1) & ~(size_t)(RING_ALIGNMENT - 1);
}

_Static_assert(VIRTIO_QUEUE_SIZE_MAX *(sizeof(struct virtio_descriptor) + sizeof(uint16_t) +
                                       sizeof(struct virtio_used_entry)) +
                       2 * (sizeof(struct virtio_available) + sizeof(struct virtio_used)) +
                       3 * RING_ALIGNMENT <=
                   VIRTIO_QUEUE_MEMORY_BYTES,
               "the largest queue fits");

void virtio_queue_initialize(struct virtio_queue *queue, void *memory, uint16_t size,
                             bool has_events)
{
    uint8_t *at = memory;

    *queue = (struct virtio_queue){.size = size, .has_events = has_events, .free_count = size};
    queue->descriptors = (struct virtio_descriptor *)at;
    at += align_up(size * sizeof(struct virtio_descriptor));
    queue->available = (struct virtio_available *)at;
    queue->used_event = &queue->available->ring[size];
    at += align_up(sizeof(struct virtio_available) + (size + 1u) * sizeof(uint16_t));
    queue->used = (struct virtio_used *)at;
    queue->available_event = (uint16_t *)&queue->used->ring[size];
    for (uint16_t i = 0; i < size; i++) {
        queue->free_ids[i] = (uint16_t)(size - 1 - i); /* a stack: descriptor 0 goes first */
    }
    virtio_queue_interrupt_off(queue);
}

/* Takes a descriptor off the stack of free ones, which the caller knows not to be empty. */
static uint16_t descriptor_fill(struct virtio_queue *queue, uint64_t address, uint32_t length,
                                uint16_t flags, uint16_t next)
{
    uint16_t id = queue->free_ids[--queue->free_count];

    queue->descriptors[id] = (struct virtio_descriptor){
        .address = address, .length = length, .flags = flags, .next = next};
    return id;
}

static void chain_add(struct virtio_queue *queue, uint16_t head, struct virtio_slot slot)
{
    queue->slots[head] = slot;
    queue->available->ring[ring_slot(queue, queue->available_index)] = head;
    queue->available_index++;
    queue->in_flight++;
}

bool virtio_queue_add(struct virtio_queue *queue, uint64_t address, uint32_t length,
                      enum virtio_direction direction, void *token)
{
    bool writes = direction == VIRTIO_DEVICE_WRITES;

    if (queue->free_count == 0) {
        return false;
    }
    uint16_t head =
        descriptor_fill(queue, address, length, writes ? VIRTIO_DESCRIPTOR_WRITE : 0, 0);

    chain_add(queue, head,
              (struct virtio_slot){
                  .token = token, .capacity = writes ? length : 0, .second = VIRTIO_NO_DESCRIPTOR});
    return true;
}

bool virtio_queue_add_request(struct virtio_queue *queue, uint64_t question,
                              uint32_t question_length, uint64_t answer, uint32_t answer_length,
                              void *token)
{
    if (queue->free_count < 2) {
        return false;
    }
    uint16_t second = descriptor_fill(queue, answer, answer_length, VIRTIO_DESCRIPTOR_WRITE, 0);
    uint16_t head =
        descriptor_fill(queue, question, question_length, VIRTIO_DESCRIPTOR_NEXT, second);

    chain_add(queue, head,
              (struct virtio_slot){.token = token, .capacity = answer_length, .second = second});
    return true;
}

void virtio_queue_publish(struct virtio_queue *queue)
{
    /* Release: pairs with the device's barrier between reading the index and reading ring and
     * descriptors; without it the device could follow a descriptor that is not written yet. */
    __atomic_store_n(&queue->available->index, queue->available_index, __ATOMIC_RELEASE);
}

/* Whether an index that went from @before to @now passed @event: all of them wrap at 65536. */
static bool event_is_passed(uint16_t event, uint16_t now, uint16_t before)
{
    return (uint16_t)(now - event - 1) < (uint16_t)(now - before);
}

bool virtio_queue_should_notify(struct virtio_queue *queue)
{
    uint16_t before = queue->notified_index;
    uint16_t now = queue->available_index;

    if (before == now || queue->broken != NULL) {
        return false;
    }
    queue->notified_index = now;
    /* Full: pairs with the device's barrier between writing available_event (or its flag) and its
     * last look at available.index. Without it both may look before the other's store is seen: we
     * do not notify, it sleeps, and the buffers lie there for ever. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (queue->has_events) {
        return event_is_passed(__atomic_load_n(queue->available_event, __ATOMIC_RELAXED), now,
                               before);
    }
    return (__atomic_load_n(&queue->used->flags, __ATOMIC_RELAXED) & VIRTIO_USED_NO_NOTIFY) == 0;
}

static void queue_break(struct virtio_queue *queue, const char *why)
{
    __atomic_store_n(&queue->broken, why, __ATOMIC_RELAXED);
}

/* Returns the number of used entries that were not taken yet; they are readable. */
static uint16_t count_arrived(struct virtio_queue *queue)
{
    /* Acquire: pairs with the device's barrier between writing the entry (and the buffer) and the
     * index; without it we could read an entry of the last lap, or a frame half written. */
    uint16_t arrived =
        (uint16_t)(__atomic_load_n(&queue->used->index, __ATOMIC_ACQUIRE) - queue->used_index);

    if (arrived > queue->in_flight) {
        queue_break(queue, "the used index is ahead of what the device was given");
        return 0;
    }
    return arrived;
}

/* Checks one used entry and frees its descriptors. */
static bool take_one(struct virtio_queue *queue, const struct virtio_used_entry *entry,
                     struct virtio_taken *taken)
{
    uint32_t id = __atomic_load_n(&entry->id, __ATOMIC_RELAXED);
    uint32_t length = __atomic_load_n(&entry->length, __ATOMIC_RELAXED);

    if (id >= queue->size || queue->slots[id].token == NULL) {
        queue_break(queue, "a used entry names a buffer that the device does not have");
        return false;
    }
    struct virtio_slot *slot = &queue->slots[id];

    if (length > slot->capacity) {
        queue_break(queue, "a used entry is longer than its buffer");
        return false;
    }
    *taken = (struct virtio_taken){.token = slot->token, .length = length};
    slot->token = NULL;
    if (slot->second != VIRTIO_NO_DESCRIPTOR) {
        queue->free_ids[queue->free_count++] = slot->second;
    }
    queue->free_ids[queue->free_count++] = (uint16_t)id;
    return true;
}

unsigned virtio_queue_take(struct virtio_queue *queue, struct virtio_taken *taken, unsigned count)
{
    unsigned done = 0;

    if (queue->broken != NULL) {
        return 0;
    }
    unsigned arrived = count_arrived(queue);

    if (count > arrived) {
        count = arrived;
    }
    while (done < count) {
        uint16_t index = ring_slot(queue, (uint16_t)(queue->used_index + done));

        if (!take_one(queue, &queue->used->ring[index], &taken[done])) {
            break;
        }
        done++;
    }
    queue->in_flight = (uint16_t)(queue->in_flight - done);
    __atomic_store_n(&queue->used_index, (uint16_t)(queue->used_index + done), __ATOMIC_RELAXED);
    return done;
}

bool virtio_queue_has_arrived(const struct virtio_queue *queue)
{
    return __atomic_load_n(&queue->broken, __ATOMIC_RELAXED) == NULL &&
           __atomic_load_n(&queue->used->index, __ATOMIC_RELAXED) !=
               __atomic_load_n(&queue->used_index, __ATOMIC_RELAXED);
}

void virtio_queue_interrupt_off(struct virtio_queue *queue)
{
    if (queue->has_events) {
        /* The index has just passed this: it does so again after a whole lap of 65536. */
        uint16_t passed = (uint16_t)(__atomic_load_n(&queue->used_index, __ATOMIC_RELAXED) - 1);

        __atomic_store_n(queue->used_event, passed, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&queue->available->flags, VIRTIO_AVAILABLE_NO_INTERRUPT, __ATOMIC_RELAXED);
    }
}

bool virtio_queue_interrupt_on(struct virtio_queue *queue)
{
    if (queue->has_events) {
        __atomic_store_n(queue->used_event, queue->used_index, __ATOMIC_RELAXED);
    } else {
        __atomic_store_n(&queue->available->flags, 0, __ATOMIC_RELAXED);
    }
    /* Full: pairs with the device's barrier between writing used.index and its look at used_event
     * (or our flag). Without it a buffer could come for which the device sees interrupts off, and
     * we see no buffer: it would lie there until the next one comes. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return virtio_queue_has_arrived(queue);
}

void *virtio_queue_detach(struct virtio_queue *queue)
{
    for (uint16_t id = 0; id < queue->size; id++) {
        void *token = queue->slots[id].token;

        if (token != NULL) {
            queue->slots[id].token = NULL;
            queue->in_flight--;
            return token;
        }
    }
    return NULL;
}
