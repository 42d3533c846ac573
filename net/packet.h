// SPDX-License-Identifier: MIT
/* A frame in memory that devices read and write by themselves, and where such memory comes from.
 *
 *     struct packet *packet = packet_allocate(device->pool);
 *     memcpy(packet_append(packet, length), bytes, length);
 *     net_device_transmit(device, 0, packet);               the packet is no longer ours
 *
 * Rules:
 * - A packet has one owner. Whoever is given it frees it (packet_free) or gives it on, once. A
 *   device's ring owns what is queued in it.
 * - A pool never grows: free + owned = total, always; packet_pool_count() is what leak checks ask.
 * - In front of the frame there is room (PACKET_HEADROOM) for headers that are put there later, a
 *   device's own included, so a frame is never copied to be sent. */
#pragma once

#include "kernel/spinlock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PACKET_BUFFER_BYTES 2048
#define PACKET_HEADROOM     64 /* bytes in front of a received frame */
#define FRAME_BYTES_MIN     60 /* without the frame check sequence, which no device gives us */
#define FRAME_BYTES_MAX     1514

struct net_device;
struct packet_pool;

struct packet {
    /* by the owner: */
    struct packet *next;       /* in whatever list the owner keeps */
    uint8_t *data;             /* first byte of the frame, inside [buffer, buffer + 2048) */
    uint32_t length;           /* of the frame */
    uint16_t queue;            /* it came from, */
    bool is_allocated;         /* by packet_pool.c: asserts that nobody frees a packet twice */
    struct net_device *device; /* that it came from; NULL: made here, sent to ourselves included */
    uint64_t received_ns;      /* clock_now_ns() on arrival; 0: nobody asked (netstamp_needed) */
    /* written once: */
    uint8_t *buffer;
    uint64_t physical; /* of buffer[0] */
    struct packet_pool *pool;
} __attribute__((aligned(64)));

struct packet_pool {
    /* written once: */
    const char *name;
    uint32_t total;
    struct packet *packets;
    /* under lock: */
    struct spinlock lock;
    struct packet *free;
    uint32_t free_count;
    uint32_t least_free; /* the fewest there ever were */
    uint64_t exhausted;  /* packet_allocate() found none */
};

struct packet_pool_counts {
    uint32_t total, free, least_free;
    uint64_t exhausted;
};

/* Makes a pool of @total packets. Returns NULL when memory is short. Context: thread. */
struct packet_pool *packet_pool_create(const char *name, uint32_t total);

/* Frees a pool. Panics unless every packet is in it. For drivers that give up, and tests. */
void packet_pool_destroy(struct packet_pool *pool);

/* Returns an empty packet, its data at PACKET_HEADROOM, or NULL when all are in use.
 * Context: any but NMI. */
struct packet *packet_allocate(struct packet_pool *pool);

/* The same for up to @count packets at once: fills @packets, returns how many it got. */
unsigned packet_allocate_many(struct packet_pool *pool, struct packet **packets, unsigned count);

/* Gives a packet back to its pool. Panics if it is there already. Context: any but NMI. */
void packet_free(struct packet *packet);

/* The same for @count packets of one pool. */
void packet_free_many(struct packet **packets, unsigned count);

struct packet_pool_counts packet_pool_count(struct packet_pool *pool);

/* What a device reads or writes: the frame's first byte. */
static inline uint64_t packet_physical(const struct packet *packet)
{
    return packet->physical + (uint64_t)(packet->data - packet->buffer);
}

/* Room in front of and behind the frame, in bytes. */
static inline uint32_t packet_headroom(const struct packet *packet)
{
    return (uint32_t)(packet->data - packet->buffer);
}

static inline uint32_t packet_tailroom(const struct packet *packet)
{
    return PACKET_BUFFER_BYTES - packet_headroom(packet) - packet->length;
}

/* Grow or shrink the frame; the caller has compared @bytes with the room or the length.
 * packet_prepend: @bytes more in front, returns the new first byte. packet_pull: the first @bytes
 * are read, they stay in the headroom. packet_append: @bytes more at the end, returns the first of
 * them. */
static inline uint8_t *packet_prepend(struct packet *packet, uint32_t bytes)
{
    packet->data -= bytes;
    packet->length += bytes;
    return packet->data;
}

static inline void packet_pull(struct packet *packet, uint32_t bytes)
{
    packet->data += bytes;
    packet->length -= bytes;
}

static inline uint8_t *packet_append(struct packet *packet, uint32_t bytes)
{
    uint8_t *end = packet->data + packet->length;

    packet->length += bytes;
    return end;
}
