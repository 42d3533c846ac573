// SPDX-License-Identifier: MIT
/* What the e1000 and the e1000e do alike once they run: poll, transmit, link and counters. See
 * e1000_card.h. Invariant: a tail register is written once for many frames: such a write makes an
 * emulator stop the CPU and take a lock that all its devices share. Called through the operations
 * tables of e1000.c and e1000e.c. */
#include "drivers/e1000_card.h"
#include "net/receive.h"

/* Descriptors that wait until it pays to write the receive tail: few against the ring, many against
 * one write. */
#define GIVE_AT_ONCE 32

#define LINK_LOOKS_MAX 4

_Static_assert(GIVE_AT_ONCE <= E1000_RECEIVE_SLOTS / 4, "the device would run dry");

static const struct e1000_statistic {
    const char *name;
    uint32_t offset;
    bool is_64bit; /* the upper half stands behind it, and reading that clears both */
    bool may_stay; /* QEMU does not clear it by reading */
} statistics[] = {
    {"good_received", E1000_GPRC, false, false},
    {"good_received_bytes", E1000_GORCL, true, false},
    {"broadcasts_received", E1000_BPRC, false, false},
    {"multicasts_received", E1000_MPRC, false, false},
    {"all_received", E1000_TPR, false, false},
    {"good_transmitted", E1000_GPTC, false, false},
    {"good_transmitted_bytes", E1000_GOTCL, true, false},
    {"all_transmitted", E1000_TPT, false, false},
    {"missed", E1000_MPC, false, true},
    {"no_buffers", E1000_RNBC, false, true},
    {"crc_errors", E1000_CRCERRS, false, true},
    {"receive_errors", E1000_RXERRC, false, true},
    {"length_errors", E1000_RLEC, false, true},
    {"undersized", E1000_RUC, false, false},
    {"oversized", E1000_ROC, false, false},
};
#define STATISTICS (sizeof(statistics) / sizeof(statistics[0]))
_Static_assert(STATISTICS <= E1000_COUNTERS_MAX, "a total for each");

void e1000_link_update(struct e1000_card *card)
{
    bool is_up = (e1000_read(card, E1000_STATUS) & E1000_STATUS_LINK_UP) != 0;
    bool was_up;

    /* Two CPUs may be here at once, one with an older look: each looks again after it has spoken,
     * so the last word is true. A link that changes meanwhile announces it. */
    for (unsigned tries = 0; tries < LINK_LOOKS_MAX; tries++) {
        net_device_set_link(&card->net, is_up);
        was_up = is_up;
        is_up = (e1000_read(card, E1000_STATUS) & E1000_STATUS_LINK_UP) != 0;
        if (is_up == was_up) {
            return;
        }
    }
}

bool e1000_causes_handle(struct e1000_card *card, uint32_t causes)
{
    bool ours = false;

    if ((causes & card->link_causes) != 0) {
        e1000_link_update(card);
        ours = true;
    }
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        if ((causes & card->receive_causes[i]) != 0) {
            net_queue_interrupt(&card->net.queues[i]);
            ours = true;
        }
    }
    return ours;
}

void e1000_interrupt_off(struct net_device *device, unsigned queue)
{
    struct e1000_card *card = e1000_card_of(device);

    e1000_write(card, E1000_IMC, card->receive_causes[queue]);
}

/* The lock is taken only if there may be something to free; what is put there meanwhile is freed
 * by the next one who transmits or polls. */
static void reclaim_in_poll(struct e1000_queue *queue, struct net_queue *net_queue)
{
    if (e1000_transmit_ring_count(&queue->transmit) > 0) {
        uint64_t flags = spinlock_lock_save(&net_queue->transmit_lock);

        e1000_transmit_ring_reclaim(&queue->transmit);
        spinlock_unlock_restore(&net_queue->transmit_lock, flags);
    }
}

unsigned e1000_poll(struct net_device *device, unsigned queue, unsigned budget)
{
    struct e1000_card *card = e1000_card_of(device);
    struct e1000_receive_ring *ring = &card->queues[queue].receive;
    struct packet *packet;
    enum e1000_taken taken;
    unsigned count = 0;

    while (count < budget &&
           (taken = e1000_receive_ring_take(ring, &packet)) != E1000_TAKEN_NOTHING) {
        count++;
        if (taken == E1000_TAKEN_FRAME) {
            packet->device = device;
            packet->queue = (uint16_t)queue;
            net_receive(packet);
        }
    }
    device->queues[queue].counters.no_buffer = ring->no_buffer;
    if (e1000_receive_ring_ungiven(ring) >= GIVE_AT_ONCE) {
        e1000_write(card, E1000_RDT(queue), e1000_receive_ring_give(ring));
    }
    reclaim_in_poll(&card->queues[queue], &device->queues[queue]);
    if (device->is_polled_by_clock) {
        e1000_link_update(card);
    }
    return count;
}

bool e1000_transmit(struct net_device *device, unsigned queue, struct packet *packet)
{
    struct e1000_transmit_ring *ring = &e1000_card_of(device)->queues[queue].transmit;

    e1000_transmit_ring_reclaim(ring);
    return e1000_transmit_ring_put(ring, packet);
}

void e1000_transmit_start(struct net_device *device, unsigned queue)
{
    struct e1000_card *card = e1000_card_of(device);
    struct e1000_transmit_ring *ring = &card->queues[queue].transmit;

    if (e1000_transmit_ring_is_behind(ring)) {
        e1000_write(card, E1000_TDT(queue), e1000_transmit_ring_give(ring));
    }
}

unsigned e1000_transmit_reclaim(struct net_device *device, unsigned queue)
{
    return e1000_transmit_ring_reclaim(&e1000_card_of(device)->queues[queue].transmit);
}

unsigned e1000_transmit_count(struct net_device *device, unsigned queue)
{
    return e1000_transmit_ring_count(&e1000_card_of(device)->queues[queue].transmit);
}

unsigned e1000_receive_count(struct net_device *device, unsigned queue)
{
    return e1000_receive_ring_count(&e1000_card_of(device)->queues[queue].receive);
}

static uint64_t statistic_read(const struct e1000_card *card,
                               const struct e1000_statistic *statistic)
{
    uint64_t value = e1000_read(card, statistic->offset);

    if (statistic->is_64bit) {
        value |= (uint64_t)e1000_read(card, statistic->offset + sizeof(uint32_t)) << 32;
    }
    return value;
}

/* Adds what a register has counted since it was read last. One that still holds as much after it
 * was read has not been cleared, and is the total by itself. */
static void total_update(const struct e1000_card *card, const struct e1000_statistic *statistic,
                         uint64_t *total)
{
    uint64_t value = statistic_read(card, statistic);
    uint64_t again = statistic->may_stay ? statistic_read(card, statistic) : 0;

    *total = value != 0 && again >= value ? again : *total + value + again;
}

/* What the rings found wrong with frames; figures, read while the poll threads write them. */
static void ring_counters(const struct e1000_card *card,
                          void (*show)(void *argument, const char *name, uint64_t value),
                          void *argument)
{
    uint64_t errors = 0;
    uint64_t lengths = 0;
    uint64_t splits = 0;

    for (unsigned i = 0; i < card->net.queue_count; i++) {
        errors += card->queues[i].receive.errors;
        lengths += card->queues[i].receive.lengths;
        splits += card->queues[i].receive.splits;
    }
    show(argument, "ring_frame_errors", errors);
    show(argument, "ring_bad_lengths", lengths);
    show(argument, "ring_split_frames", splits);
}

void e1000_counters(struct net_device *device,
                    void (*show)(void *argument, const char *name, uint64_t value), void *argument)
{
    struct e1000_card *card = e1000_card_of(device);
    uint64_t values[STATISTICS];
    uint64_t flags = spinlock_lock_save(&card->totals_lock);

    for (unsigned i = 0; i < STATISTICS; i++) {
        total_update(card, &statistics[i], &card->totals[i]);
        values[i] = card->totals[i];
    }
    spinlock_unlock_restore(&card->totals_lock, flags);
    for (unsigned i = 0; i < STATISTICS; i++) {
        show(argument, statistics[i].name, values[i]);
    }
    ring_counters(card, show, argument);
}
