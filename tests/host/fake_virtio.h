// SPDX-License-Identifier: MIT
/* A virtio device for the tests of drivers/virtio_queue.c, written from the specification: it has
 * its own copies of all indices, so it disagrees with a driver that goes wrong. Invariant: honest
 * unless a test writes to the queue's memory itself. There is one queue and one device at a time.
 * Does not show missing memory barriers: driver and device take turns on one CPU. Called by
 * drivers_virtio_queue*.c. */
#pragma once

#include "tests/host/host_test.h"

#include <stdbool.h>

#include "drivers/virtio_queue.h"

#define SIZE         8u /* entries, where a test does not choose */
#define BUFFER_BYTES 100u
#define WRAP         65536u

/* The device: what it has read and written so far. */
struct device {
    uint16_t taken;     /* next entry of the available ring to look at */
    uint16_t used;      /* next entry of the used ring to write */
    uint16_t signalled; /* used, when it last asked itself whether to interrupt */
};

extern struct virtio_queue queue;
extern struct device device;
extern void *memory; /* the queue's: a heap block of its exact size, for the address sanitizer */
extern uint64_t tokens[VIRTIO_QUEUE_SIZE_MAX];

/* Makes the queue and the device. / Ends both: the teardown of each case. */
void queue_start(uint16_t size, bool has_events);
int queue_end(void **state);

/* As if 65536 - @distance buffers had gone through already. */
void queue_start_near_wrap(uint16_t size, bool has_events, uint16_t distance);

/* Adds buffers 0 to @count - 1 with their tokens, and publishes them. */
void queue_add(unsigned count);

/* How many buffers are published that the device has not taken. / Takes the next, returns its
 * head. / Gives one back. */
unsigned device_sees(void);
uint16_t device_take(void);
void device_give_back(uint32_t id, uint32_t length);

/* Takes and gives back @count buffers, @length bytes written in each. */
void device_work(unsigned count, uint32_t length);

/* "Used Buffer Notification Suppression": whether the device would interrupt for what it has given
 * back since it asked last. */
bool device_interrupts(void);

#define VIRTIO_CASE(name) cmocka_unit_test_teardown(name, queue_end)
