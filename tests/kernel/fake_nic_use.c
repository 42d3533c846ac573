// SPDX-License-Identifier: MIT
/* What tests do with a card in memory beyond what the card does by itself; see fake_nic.h.
 * Invariant: every wait ends, and says whether what it waited for came. */
#include "arch/clock.h"
#include "kernel/thread.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/net_frames.h"

/* For what comes at once, or never: only a host that gives its CPUs no time takes longer. */
#define PATIENCE_NS 60000000000ull
#define POLL_NS     100000ull
#define REST_NS     20000ull

bool wait_patiently(bool (*condition)(void *argument), void *argument)
{
    uint64_t deadline_ns = clock_now_ns() + test_patience_ns(PATIENCE_NS);

    while (!condition(argument)) {
        if (clock_now_ns() > deadline_ns) {
            return false;
        }
        thread_sleep_ns(POLL_NS);
    }
    return true;
}

void fake_nic_set_program(struct test *test, struct fake_nic *nic, dispatched_function *function)
{
    net_program_detach_all(&nic->device);
    if (function != NULL) {
        net_program_initialize(&nic->program, "test", function, NULL);
        EXPECT_EQUAL(test,
                     net_program_attach(&nic->device, NET_PROGRAM_ALL_QUEUES, &nic->program, NULL),
                     NET_PROGRAM_OK);
    }
}

bool fake_nic_inject_patiently(struct fake_nic *nic, unsigned index, const uint8_t *frame,
                               uint32_t length)
{
    uint64_t deadline_ns = clock_now_ns() + test_patience_ns(PATIENCE_NS);

    while (!fake_nic_inject(nic, index, frame, length)) {
        if (clock_now_ns() > deadline_ns) {
            return false;
        }
        thread_sleep_ns(REST_NS);
    }
    return true;
}

bool fake_nic_inject_word(struct fake_nic *nic, unsigned queue, uint32_t word)
{
    uint8_t frame[FRAME_BYTES_MIN];

    frame_make(frame, word);
    return fake_nic_inject_patiently(nic, queue, frame, sizeof(frame));
}

struct packet *fake_nic_packet(struct fake_nic *nic, uint32_t word)
{
    struct packet *packet = packet_allocate(nic->device.pool);

    if (packet != NULL) {
        frame_make(packet_append(packet, FRAME_BYTES_MIN), word);
    }
    return packet;
}

/* No frame lies in a ring, and the poll threads sleep. */
static bool is_idle(void *argument)
{
    struct fake_nic *nic = argument;

    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        const struct net_queue *queue = &nic->device.queues[i];

        if (fake_queue_has_frame(&nic->queues[i]) ||
            __atomic_load_n(&queue->is_scheduled, __ATOMIC_ACQUIRE) ||
            __atomic_load_n(&queue->is_polling, __ATOMIC_ACQUIRE)) {
            return false;
        }
    }
    return true;
}

static bool is_settled(void *argument)
{
    struct fake_nic *nic = argument;

    return is_idle(nic) && net_device_census(&nic->device).elsewhere == 0;
}

bool fake_nic_idle(struct fake_nic *nic)
{
    return wait_patiently(is_idle, nic);
}

bool fake_nic_settle(struct fake_nic *nic)
{
    return wait_patiently(is_settled, nic);
}

/* Over the queues: @first is the counter of the first, @size the bytes from one to the next. */
static uint64_t sum_queues(const struct fake_nic *nic, const void *first, size_t size)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        sum +=
            __atomic_load_n((const uint64_t *)((const char *)first + i * size), __ATOMIC_ACQUIRE);
    }
    return sum;
}

uint64_t fake_nic_received(const struct fake_nic *nic)
{
    return sum_queues(nic, &nic->device.queues[0].counters.received, sizeof(struct net_queue));
}

uint64_t fake_nic_interrupts(const struct fake_nic *nic)
{
    return sum_queues(nic, &nic->device.queues[0].counters.interrupts, sizeof(struct net_queue));
}

uint64_t fake_nic_injected(const struct fake_nic *nic)
{
    return sum_queues(nic, &nic->queues[0].injected, sizeof(struct fake_queue));
}

uint64_t fake_nic_captured(const struct fake_nic *nic)
{
    return sum_queues(nic, &nic->queues[0].captured, sizeof(struct fake_queue));
}

uint64_t fake_nic_lost_in_reset(const struct fake_nic *nic)
{
    return sum_queues(nic, &nic->queues[0].lost_in_reset, sizeof(struct fake_queue));
}

uint64_t fake_nic_unsent_in_reset(const struct fake_nic *nic)
{
    return sum_queues(nic, &nic->queues[0].unsent_in_reset, sizeof(struct fake_queue));
}
