// SPDX-License-Identifier: MIT
/* A network card in memory: frames come from tests, and what is sent is seen by them. It does what
 * a card does and no more: it fills the buffers of its receive ring, interrupts if it may, sends
 * what the doorbell told it of.
 *
 *     struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});
 *     fake_nic_inject(nic, 0, frame, length);
 *     EXPECT(test, fake_nic_settle(nic));
 *     ...
 *     fake_nic_remove(test, nic);
 *
 * Invariant: every injected frame is received, or counted in one of the lost_* below; a driver
 * function that two threads are in at once where the interface forbids it is counted. Callers: the
 * suites of the network. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "kernel/spinlock.h"
#include "net/net_device.h"
#include "net/program.h"
#include "tests/kernel/test.h"

#define FAKE_RING       64u /* packets in each ring */
#define FAKE_QUEUES_MAX 4u
#define FAKE_PACKETS    512u /* of a device's pool, unless told otherwise */

struct fake_nic;

/* Sees each frame as it is sent. Context: any, interrupts off, the queue's lock held. */
typedef void fake_nic_capture(struct fake_nic *nic, unsigned queue, const uint8_t *frame,
                              uint32_t length);

struct fake_nic_options {
    unsigned queues;  /* 1 to FAKE_QUEUES_MAX */
    unsigned packets; /* 0: FAKE_PACKETS */
    fake_nic_capture *capture;
    void *capture_argument;
    /* In the poll thread: before interrupts go on, and when they are and the ring was empty. */
    void (*before_interrupt_on)(struct fake_nic *nic, unsigned queue);
    void (*behind_interrupt_on)(struct fake_nic *nic, unsigned queue);
    /* In whoever turns interrupts off, and in the thread that resets, before the rings change. */
    void (*in_interrupt_off)(struct fake_nic *nic, unsigned queue);
    void (*in_reset)(struct fake_nic *nic);
};

struct fake_queue {
    struct spinlock lock; /* as a bus: one access at a time */
    /* under lock; indices run freely, taken <= filled <= posted <= taken + FAKE_RING: */
    struct packet *receive[FAKE_RING];
    uint32_t posted, filled, taken;
    /* reclaimed <= sent <= rung <= queued <= reclaimed + FAKE_RING: */
    struct packet *transmit[FAKE_RING];
    uint32_t queued, rung, sent, reclaimed;
    uint64_t injected;        /* that found a buffer */
    uint64_t lost_no_ring;    /* all buffers of the ring were full */
    uint64_t lost_in_reset;   /* were in the ring */
    uint64_t unsent_in_reset; /* were in the transmit ring */
    uint64_t captured, captured_bytes;
    /* atomic: */
    bool interrupt_is_on;
    bool is_polled;          /* the driver's poll() runs */
    bool is_transmitted_to;  /* one of its transmit functions runs */
    uint32_t being_silenced; /* how many are in interrupt_off() */

    struct spinlock line; /* one interrupt at a time */
};

struct fake_nic {
    struct net_device device;
    struct net_program program; /* of fake_nic_set_program() */
    struct fake_nic_options options;
    struct fake_queue queues[FAKE_QUEUES_MAX];
    /* atomic: */
    uint32_t transmit_pauses; /* a transmission takes as long as that many PAUSEs */
    bool holds_transmit;      /* the doorbell is not heard until fake_nic_release() */
    bool refuses_reset;
    bool is_resetting;   /* the driver's reset() runs */
    uint32_t violations; /* two threads in a function made for one, anybody in a reset */
    uint8_t last_frame[FRAME_BYTES_MAX];
    uint32_t last_length; /* of the newest frame sent; for tests that send one at a time */
};

/* Makes a card and registers it, link up. Returns NULL when memory is short. Context: thread. */
struct fake_nic *fake_nic_add(const struct fake_nic_options *options);

/* Waits for it to be at rest, expects every packet to be where it belongs, and takes it away. */
void fake_nic_remove(struct test *test, struct fake_nic *nic);

/* All queues run @function, without data, until the card goes; NULL: none. Context: thread. */
void fake_nic_set_program(struct test *test, struct fake_nic *nic, dispatched_function *function);

/* A frame arrives. Returns false if the ring has no buffer for it (lost_no_ring).
 * Context: any but NMI. */
bool fake_nic_inject(struct fake_nic *nic, unsigned queue, const uint8_t *frame, uint32_t length);

/* The same, waiting while the ring is full. Returns false after some seconds. Context: thread. */
bool fake_nic_inject_patiently(struct fake_nic *nic, unsigned queue, const uint8_t *frame,
                               uint32_t length);

/* The same for a frame of frame_make(). Context: thread. */
bool fake_nic_inject_word(struct fake_nic *nic, unsigned queue, uint32_t word);

/* Such a frame in a packet of its pool, for sending; NULL: the pool is empty. */
struct packet *fake_nic_packet(struct fake_nic *nic, uint32_t word);

/* Sends what it held back. */
void fake_nic_release(struct fake_nic *nic);

/* Waits until every frame that came in has been dealt with, whoever has its packet now. Returns
 * false after some seconds. Context: thread. */
bool fake_nic_idle(struct fake_nic *nic);

/* The same, and until no packet is in anybody's hands. */
bool fake_nic_settle(struct fake_nic *nic);

/* Whether a frame lies in its receive ring. Context: any but NMI. */
bool fake_queue_has_frame(struct fake_queue *queue);

/* Sums over its queues. */
uint64_t fake_nic_received(const struct fake_nic *nic);
uint64_t fake_nic_injected(const struct fake_nic *nic);
uint64_t fake_nic_captured(const struct fake_nic *nic);
uint64_t fake_nic_lost_in_reset(const struct fake_nic *nic);
uint64_t fake_nic_unsent_in_reset(const struct fake_nic *nic);
uint64_t fake_nic_interrupts(const struct fake_nic *nic);

/* Waits until condition(argument), at most some seconds. Context: thread. */
bool wait_patiently(bool (*condition)(void *argument), void *argument);
