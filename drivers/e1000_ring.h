// SPDX-License-Identifier: MIT
/* Descriptor rings of the e1000 and the e1000e: pure logic on memory that is given, no register is
 * touched. Head and tail as in "Receive Descriptor Queue Structure" and "Transmit Descriptor Ring
 * Structure" (8254x manual; 82574 datasheet): the device owns the descriptors from head to tail,
 * tail excluded, so head == tail means none, and of n descriptors it gets n - 1.
 *
 * Invariant: each slot of a receive ring always holds a packet: a frame leaves only when a fresh
 * buffer takes its place, so the device never runs dry because the pool has. Each packet that goes
 * into a ring comes out once. Nothing the device writes is used as an index or as a length that has
 * not been compared.
 *
 * Callers: drivers/e1000_common.c, tests/host/drivers_e1000_*.c. */
#pragma once

#include "net/packet.h"

#include <stdbool.h>
#include <stdint.h>

#define E1000_RING_STEP        8 /* descriptors: ring lengths are multiples of 128 bytes */
#define E1000_SPARES           16
#define E1000_FRAME_BYTES_MAX  1522 /* with long packets off the device stores no more */
#define E1000_DESCRIPTOR_BYTES 16

struct e1000_descriptor {
    uint64_t address; /* of the buffer; extended format: overwritten by the device */
    uint64_t word;    /* length, status, errors, command */
};
_Static_assert(sizeof(struct e1000_descriptor) == E1000_DESCRIPTOR_BYTES, "the device's layout");

/* Where the fields of a received frame stand in `word`: "Legacy Receive Descriptor Format",
 * "Extended Rx Descriptor". */
struct e1000_receive_format {
    uint8_t length_shift, status_shift, errors_shift;
};
extern const struct e1000_receive_format e1000_format_legacy, e1000_format_extended;

#define E1000_RECEIVE_DONE 0x01u /* status */
#define E1000_RECEIVE_END  0x02u
/* Errors of the frame: CRC, symbol, sequence, carrier extension, data. Not those of a checksum,
 * which the protocols verify by themselves. */
#define E1000_RECEIVE_ERRORS 0x97u

#define E1000_TRANSMIT_END    (0x01u << 24) /* "Legacy Transmit Descriptor Format": EOP */
#define E1000_TRANSMIT_CRC    (0x02u << 24) /* IFCS */
#define E1000_TRANSMIT_REPORT (0x08u << 24) /* RS: DONE is wanted */
#define E1000_TRANSMIT_DONE   (1ull << 32)

struct e1000_receive_ring {
    /* written once: */
    struct e1000_descriptor *descriptors;
    struct packet **packets; /* of each slot */
    uint32_t count;
    const struct e1000_receive_format *format;
    struct packet_pool *pool;

    /* by the poll thread alone: */
    uint32_t next;        /* the next slot to look at; atomic: interrupts look at it, too */
    uint32_t tail;        /* what the device was told last */
    bool is_inside;       /* of a frame in more than one buffer, which is being skipped */
    uint32_t spare_count; /* atomic: the leak check reads it */
    struct packet *spares[E1000_SPARES];
    /* frames dropped, by reason: */
    uint64_t no_buffer, errors, lengths, splits;
};

struct e1000_transmit_ring {
    /* written once: */
    struct e1000_descriptor *descriptors;
    struct packet **packets;
    uint32_t count;

    /* under the queue's transmit_lock; next and oldest atomic for a look without it: */
    uint32_t next;   /* where the next frame goes */
    uint32_t oldest; /* the oldest that the device may still need */
    uint32_t tail;   /* what the device was told last */
};

/* Makes an empty ring of @count slots (a multiple of E1000_RING_STEP, at least two of it) on memory
 * that is given. */
void e1000_receive_ring_initialize(struct e1000_receive_ring *ring,
                                   struct e1000_descriptor *descriptors, struct packet **packets,
                                   uint32_t count, const struct e1000_receive_format *format,
                                   struct packet_pool *pool);
void e1000_transmit_ring_initialize(struct e1000_transmit_ring *ring,
                                    struct e1000_descriptor *descriptors, struct packet **packets,
                                    uint32_t count);

/* Gives each slot a packet; ring->tail is what the tail register is to be set to. Returns false,
 * the ring still empty, if the pool has not that many. Context: the device is stopped. */
bool e1000_receive_ring_fill(struct e1000_receive_ring *ring);

/* Frees all packets of a ring, whatever has become of them. Context: the device is stopped. */
void e1000_receive_ring_empty(struct e1000_receive_ring *ring);
void e1000_transmit_ring_empty(struct e1000_transmit_ring *ring);

enum e1000_taken { E1000_TAKEN_NOTHING, E1000_TAKEN_DROPPED, E1000_TAKEN_FRAME };

/* Takes what the next slot holds. E1000_TAKEN_FRAME: *@packet is the caller's, its length set.
 * E1000_TAKEN_DROPPED: something was there that is no frame, or there was no fresh buffer; counted
 * in the ring, the buffer stays. Context: poll thread. Ordering: the frame's bytes are read after
 * this returned. */
enum e1000_taken e1000_receive_ring_take(struct e1000_receive_ring *ring, struct packet **packet);

/* Whether the next slot holds something. Context: poll thread, or any interrupt handler: while the
 * poll thread runs it may then be told of a slot that was just taken. */
bool e1000_receive_ring_has_more(const struct e1000_receive_ring *ring);

/* Descriptors that could be given to the device by moving the tail. */
uint32_t e1000_receive_ring_ungiven(const struct e1000_receive_ring *ring);

/* Moves the tail as far as it goes. Returns the new one, to be written to the register by a store
 * with release. */
uint32_t e1000_receive_ring_give(struct e1000_receive_ring *ring);

/* The packets in it. Context: thread; exact while nobody polls. */
uint32_t e1000_receive_ring_count(const struct e1000_receive_ring *ring);

/* Puts a frame of at most E1000_FRAME_BYTES_MAX bytes behind the others. Returns false, the packet
 * still the caller's, if all n - 1 descriptors are in use. */
bool e1000_transmit_ring_put(struct e1000_transmit_ring *ring, struct packet *packet);

/* Whether there is something that the device has not been told of. */
bool e1000_transmit_ring_is_behind(const struct e1000_transmit_ring *ring);

/* Moves the tail behind the last frame. Returns it, as e1000_receive_ring_give(). */
uint32_t e1000_transmit_ring_give(struct e1000_transmit_ring *ring);

/* Frees what the device says it has sent, of that alone which it was told of. Returns the frames
 * that are left. */
uint32_t e1000_transmit_ring_reclaim(struct e1000_transmit_ring *ring);

/* The frames in it. Context: any; exact under the transmit lock. */
uint32_t e1000_transmit_ring_count(const struct e1000_transmit_ring *ring);
