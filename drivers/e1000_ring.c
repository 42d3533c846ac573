// SPDX-License-Identifier: MIT
/* Descriptor rings; see e1000_ring.h. DMA is coherent on x86: order alone has to be kept. What the
 * device writes last is DONE; length and status stand in the same eight bytes, so one load sees
 * them together. */
#include "drivers/e1000_ring.h"

const struct e1000_receive_format e1000_format_legacy = {
    .length_shift = 0, .status_shift = 32, .errors_shift = 40};
const struct e1000_receive_format e1000_format_extended = {
    .length_shift = 32, .status_shift = 0, .errors_shift = 24};

static uint32_t slot_behind(uint32_t slot, uint32_t count)
{
    return slot + 1 == count ? 0 : slot + 1;
}

static uint32_t slot_before(uint32_t slot, uint32_t count)
{
    return slot == 0 ? count - 1 : slot - 1;
}

static uint32_t slots_between(uint32_t from, uint32_t to, uint32_t count)
{
    return to >= from ? to - from : to + count - from;
}

/* Acquire: pairs with the device's last write to the descriptor. Without it bytes of the frame
 * could be read that lay there before the device wrote its own. */
static uint64_t load_word(const struct e1000_descriptor *descriptor)
{
    return __atomic_load_n(&descriptor->word, __ATOMIC_ACQUIRE);
}

/* Relaxed: the store to the tail register is the release that makes both visible; until then the
 * device does not look. Atomic so that neither is torn or left out. */
static void write_descriptor(struct e1000_descriptor *descriptor, uint64_t address, uint64_t word)
{
    __atomic_store_n(&descriptor->address, address, __ATOMIC_RELAXED);
    __atomic_store_n(&descriptor->word, word, __ATOMIC_RELAXED);
}

void e1000_receive_ring_initialize(struct e1000_receive_ring *ring,
                                   struct e1000_descriptor *descriptors, struct packet **packets,
                                   uint32_t count, const struct e1000_receive_format *format,
                                   struct packet_pool *pool)
{
    *ring = (struct e1000_receive_ring){.descriptors = descriptors,
                                        .packets = packets,
                                        .count = count,
                                        .format = format,
                                        .pool = pool};
    for (uint32_t slot = 0; slot < count; slot++) {
        packets[slot] = NULL;
        write_descriptor(&descriptors[slot], 0, 0);
    }
}

bool e1000_receive_ring_fill(struct e1000_receive_ring *ring)
{
    uint32_t got = 0;

    while (got < ring->count) {
        unsigned more = packet_allocate_many(ring->pool, &ring->packets[got], ring->count - got);

        if (more == 0) {
            e1000_receive_ring_empty(ring);
            return false;
        }
        got += more;
    }
    for (uint32_t slot = 0; slot < ring->count; slot++) {
        write_descriptor(&ring->descriptors[slot], packet_physical(ring->packets[slot]), 0);
    }
    __atomic_store_n(&ring->next, 0, __ATOMIC_RELAXED);
    ring->tail = slot_before(0, ring->count);
    ring->is_inside = false;
    return true;
}

static void free_slots(struct e1000_descriptor *descriptors, struct packet **packets,
                       uint32_t count)
{
    for (uint32_t slot = 0; slot < count; slot++) {
        write_descriptor(&descriptors[slot], 0, 0);
        if (packets[slot] != NULL) {
            packet_free(packets[slot]);
            packets[slot] = NULL;
        }
    }
}

void e1000_receive_ring_empty(struct e1000_receive_ring *ring)
{
    free_slots(ring->descriptors, ring->packets, ring->count);
    while (ring->spare_count > 0) {
        packet_free(ring->spares[--ring->spare_count]);
    }
}

/* Returns NULL if the pool has none. */
static struct packet *take_spare(struct e1000_receive_ring *ring)
{
    uint32_t count = ring->spare_count;

    if (count == 0) {
        count = packet_allocate_many(ring->pool, ring->spares, E1000_SPARES);
    }
    struct packet *spare = count > 0 ? ring->spares[--count] : NULL;

    /* Relaxed: pairs with e1000_receive_ring_count(), a figure. */
    __atomic_store_n(&ring->spare_count, count, __ATOMIC_RELAXED);
    return spare;
}

/* Whether the slot holds the whole of a frame without fault; counts by reason if not. A frame
 * longer than a buffer cannot come with long packets off; if it does all its parts are skipped, and
 * it counts once. */
static bool is_frame(struct e1000_receive_ring *ring, uint64_t word, uint32_t length)
{
    unsigned status = (word >> ring->format->status_shift) & 0xff;
    unsigned errors = (word >> ring->format->errors_shift) & 0xff;
    bool was_inside = ring->is_inside;

    ring->is_inside = (status & E1000_RECEIVE_END) == 0;
    if (was_inside) {
        return false;
    }
    if (ring->is_inside) {
        ring->splits++;
        return false;
    }
    if ((errors & E1000_RECEIVE_ERRORS) != 0) {
        ring->errors++;
        return false;
    }
    if (length == 0 || length > E1000_FRAME_BYTES_MAX) {
        ring->lengths++;
        return false;
    }
    return true;
}

enum e1000_taken e1000_receive_ring_take(struct e1000_receive_ring *ring, struct packet **packet)
{
    uint32_t slot = ring->next;
    uint64_t word = load_word(&ring->descriptors[slot]);
    uint32_t length = (word >> ring->format->length_shift) & 0xffff;
    struct packet *fresh = NULL;

    if (((word >> ring->format->status_shift) & E1000_RECEIVE_DONE) == 0) {
        return E1000_TAKEN_NOTHING;
    }
    if (is_frame(ring, word, length)) {
        fresh = take_spare(ring);
        ring->no_buffer += fresh == NULL;
    }
    if (fresh != NULL) {
        *packet = ring->packets[slot];
        (*packet)->length = length;
        ring->packets[slot] = fresh;
    }
    write_descriptor(&ring->descriptors[slot], packet_physical(ring->packets[slot]), 0);
    /* Relaxed: pairs with e1000_receive_ring_has_more(), which may look one slot behind. */
    __atomic_store_n(&ring->next, slot_behind(slot, ring->count), __ATOMIC_RELAXED);
    return fresh != NULL ? E1000_TAKEN_FRAME : E1000_TAKEN_DROPPED;
}

bool e1000_receive_ring_has_more(const struct e1000_receive_ring *ring)
{
    uint32_t slot = __atomic_load_n(&ring->next, __ATOMIC_RELAXED);
    uint64_t word = load_word(&ring->descriptors[slot]);

    return ((word >> ring->format->status_shift) & E1000_RECEIVE_DONE) != 0;
}

uint32_t e1000_receive_ring_ungiven(const struct e1000_receive_ring *ring)
{
    return slots_between(ring->tail, slot_before(ring->next, ring->count), ring->count);
}

uint32_t e1000_receive_ring_give(struct e1000_receive_ring *ring)
{
    ring->tail = slot_before(ring->next, ring->count);
    return ring->tail;
}

uint32_t e1000_receive_ring_count(const struct e1000_receive_ring *ring)
{
    /* Relaxed: pairs with take_spare(). */
    uint32_t count = __atomic_load_n(&ring->spare_count, __ATOMIC_RELAXED);

    for (uint32_t slot = 0; slot < ring->count; slot++) {
        count += __atomic_load_n(&ring->packets[slot], __ATOMIC_RELAXED) != NULL;
    }
    return count;
}

void e1000_transmit_ring_initialize(struct e1000_transmit_ring *ring,
                                    struct e1000_descriptor *descriptors, struct packet **packets,
                                    uint32_t count)
{
    *ring = (struct e1000_transmit_ring){
        .descriptors = descriptors, .packets = packets, .count = count};
    for (uint32_t slot = 0; slot < count; slot++) {
        packets[slot] = NULL;
        write_descriptor(&descriptors[slot], 0, 0);
    }
}

void e1000_transmit_ring_empty(struct e1000_transmit_ring *ring)
{
    free_slots(ring->descriptors, ring->packets, ring->count);
    ring->tail = 0;
    __atomic_store_n(&ring->next, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&ring->oldest, 0, __ATOMIC_RELAXED);
}

bool e1000_transmit_ring_put(struct e1000_transmit_ring *ring, struct packet *packet)
{
    uint32_t slot = ring->next;
    uint32_t behind = slot_behind(slot, ring->count);

    if (behind == ring->oldest) {
        return false;
    }
    ring->packets[slot] = packet;
    write_descriptor(&ring->descriptors[slot], packet_physical(packet),
                     packet->length | E1000_TRANSMIT_END | E1000_TRANSMIT_CRC |
                         E1000_TRANSMIT_REPORT);
    __atomic_store_n(&ring->next, behind, __ATOMIC_RELAXED);
    return true;
}

bool e1000_transmit_ring_is_behind(const struct e1000_transmit_ring *ring)
{
    return ring->tail != ring->next;
}

uint32_t e1000_transmit_ring_give(struct e1000_transmit_ring *ring)
{
    ring->tail = ring->next;
    return ring->tail;
}

/* How many slots in a row from @slot, not beyond the end of the memory, hold sent frames of one
 * pool. */
static uint32_t sent_run(const struct e1000_transmit_ring *ring, uint32_t slot)
{
    uint32_t end = slot <= ring->tail ? ring->tail : ring->count;
    uint32_t length = 0;

    while (slot + length < end &&
           (load_word(&ring->descriptors[slot + length]) & E1000_TRANSMIT_DONE) != 0 &&
           ring->packets[slot + length]->pool == ring->packets[slot]->pool) {
        length++;
    }
    return length;
}

uint32_t e1000_transmit_ring_reclaim(struct e1000_transmit_ring *ring)
{
    uint32_t slot = ring->oldest;
    uint32_t run;

    while ((run = sent_run(ring, slot)) > 0) {
        packet_free_many(&ring->packets[slot], run);
        for (uint32_t i = 0; i < run; i++) {
            ring->packets[slot + i] = NULL;
        }
        slot = slot + run == ring->count ? 0 : slot + run;
    }
    __atomic_store_n(&ring->oldest, slot, __ATOMIC_RELAXED);
    return slots_between(slot, ring->next, ring->count);
}

uint32_t e1000_transmit_ring_count(const struct e1000_transmit_ring *ring)
{
    /* Relaxed: pair with the stores of put() and reclaim(); a figure, exact under the lock. */
    uint32_t oldest = __atomic_load_n(&ring->oldest, __ATOMIC_RELAXED);
    uint32_t next = __atomic_load_n(&ring->next, __ATOMIC_RELAXED);

    return slots_between(oldest, next, ring->count);
}
