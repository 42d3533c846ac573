// SPDX-License-Identifier: MIT
/* See fake_virtio.h. */
#include "tests/host/fake_virtio.h"

struct virtio_queue queue;
struct device device;
void *memory;
uint64_t tokens[VIRTIO_QUEUE_SIZE_MAX];

void queue_start(uint16_t size, bool has_events)
{
    memory = calloc(1, VIRTIO_QUEUE_MEMORY_BYTES);
    virtio_queue_initialize(&queue, memory, size, has_events);
    device = (struct device){0};
}

int queue_end(void **state)
{
    (void)state;
    free(memory);
    memory = NULL;
    return 0;
}

void queue_start_near_wrap(uint16_t size, bool has_events, uint16_t distance)
{
    uint16_t index = (uint16_t)(0u - distance);

    queue_start(size, has_events);
    queue.available_index = queue.notified_index = queue.used_index = index;
    queue.available->index = queue.used->index = index;
    *queue.available_event = index;
    device.taken = device.used = device.signalled = index;
    virtio_queue_interrupt_off(&queue);
}

unsigned device_sees(void)
{
    return (uint16_t)(queue.available->index - device.taken);
}

uint16_t device_take(void)
{
    assert_true(device_sees() > 0);
    return queue.available->ring[device.taken++ % queue.size];
}

void device_give_back(uint32_t id, uint32_t length)
{
    queue.used->ring[device.used % queue.size] = (struct virtio_used_entry){id, length};
    device.used++;
    queue.used->index = device.used;
}

void device_work(unsigned count, uint32_t length)
{
    for (unsigned i = 0; i < count; i++) {
        device_give_back(device_take(), length);
    }
}

bool device_interrupts(void)
{
    uint16_t before = device.signalled;

    device.signalled = device.used;
    if (!queue.has_events) {
        return queue.available->flags != VIRTIO_AVAILABLE_NO_INTERRUPT && before != device.used;
    }
    for (uint16_t i = before; i != device.used; i++) { /* the slow way: is the event among them? */
        if (i == *queue.used_event) {
            return true;
        }
    }
    return false;
}

void queue_add(unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_true(
            virtio_queue_add(&queue, 0x1000u + i, BUFFER_BYTES, VIRTIO_DEVICE_WRITES, &tokens[i]));
    }
    virtio_queue_publish(&queue);
}
