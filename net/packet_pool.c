// SPDX-License-Identifier: MIT
/* Pools of packets; see packet.h. Invariant: a packet is in the free list exactly while
 * is_allocated is false, and free_count is the length of that list. Two buffers share a page frame,
 * so that a frame of any pool is one translation away. */
#include "net/packet.h"

#include "arch/paging.h"
#include "kernel/heap.h"
#include "kernel/page_allocator.h"
#include "kernel/panic.h"

#define BUFFERS_PER_PAGE (PAGE_SIZE / PACKET_BUFFER_BYTES)

_Static_assert(sizeof(struct packet) == 64, "a packet is one cache line");
_Static_assert(PACKET_HEADROOM + FRAME_BYTES_MAX + 8 <= PACKET_BUFFER_BYTES,
               "a frame with a tag and its check sequence fits behind the headroom");

static size_t descriptor_pages(uint32_t total)
{
    return (total * sizeof(struct packet) + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* Frees the page frames of the first @count packets, then the pool. */
static void pool_release(struct packet_pool *pool, uint32_t count)
{
    for (uint32_t i = 0; i < count; i += BUFFERS_PER_PAGE) {
        page_free(pool->packets[i].physical);
    }
    if (pool->packets != NULL) {
        page_free_run(virtual_to_physical(pool->packets), descriptor_pages(pool->total));
    }
    heap_free(pool);
}

/* Gives packets [first, first + BUFFERS_PER_PAGE) their buffers. */
static bool page_attach(struct packet_pool *pool, uint32_t first)
{
    uint64_t page = page_allocate();

    for (uint32_t i = 0; page != 0 && i < BUFFERS_PER_PAGE && first + i < pool->total; i++) {
        struct packet *packet = &pool->packets[first + i];

        packet->physical = page + i * PACKET_BUFFER_BYTES;
        packet->buffer = physical_to_virtual(packet->physical);
        packet->pool = pool;
        packet->next = pool->free;
        pool->free = packet;
    }
    return page != 0;
}

struct packet_pool *packet_pool_create(const char *name, uint32_t total)
{
    struct packet_pool *pool = heap_allocate(sizeof(*pool));
    uint64_t descriptors = pool != NULL ? page_allocate_run(descriptor_pages(total)) : 0;

    if (descriptors == 0) {
        heap_free(pool);
        return NULL;
    }
    *pool = (struct packet_pool){.name = name,
                                 .total = total,
                                 .packets = physical_to_virtual(descriptors),
                                 .lock = SPINLOCK("packet pool"),
                                 .free_count = total,
                                 .least_free = total};
    for (uint32_t first = 0; first < total; first += BUFFERS_PER_PAGE) {
        if (!page_attach(pool, first)) {
            pool_release(pool, first);
            return NULL;
        }
    }
    return pool;
}

void packet_pool_destroy(struct packet_pool *pool)
{
    if (pool->free_count != pool->total) {
        panic("packet pool %s: destroyed with %u of %u packets in use", pool->name,
              pool->total - pool->free_count, pool->total);
    }
    pool_release(pool, pool->total);
}

static struct packet *take_locked(struct packet_pool *pool)
{
    struct packet *packet = pool->free;

    pool->free = packet->next;
    pool->free_count--;
    packet->is_allocated = true;
    return packet;
}

/* Outside the lock: what its owner may rely on. */
static void packet_prepare(struct packet *packet)
{
    packet->next = NULL;
    packet->data = packet->buffer + PACKET_HEADROOM;
    packet->length = 0;
    packet->queue = 0;
    packet->device = NULL;
    packet->received_ns = 0;
}

unsigned packet_allocate_many(struct packet_pool *pool, struct packet **packets, unsigned count)
{
    uint64_t flags = spinlock_lock_save(&pool->lock);
    unsigned got = count < pool->free_count ? count : pool->free_count;

    for (unsigned i = 0; i < got; i++) {
        packets[i] = take_locked(pool);
    }
    pool->exhausted += got < count ? 1 : 0;
    if (pool->free_count < pool->least_free) {
        pool->least_free = pool->free_count;
    }
    spinlock_unlock_restore(&pool->lock, flags);
    for (unsigned i = 0; i < got; i++) {
        packet_prepare(packets[i]);
    }
    return got;
}

struct packet *packet_allocate(struct packet_pool *pool)
{
    struct packet *packet;

    return packet_allocate_many(pool, &packet, 1) == 1 ? packet : NULL;
}

static void give_locked(struct packet_pool *pool, struct packet *packet)
{
    if (!packet->is_allocated || packet->pool != pool) {
        panic("packet pool %s: packet %u is freed %s", pool->name,
              (unsigned)(packet - packet->pool->packets),
              packet->pool == pool ? "twice" : "among packets of another pool");
    }
    packet->is_allocated = false;
    packet->next = pool->free;
    pool->free = packet;
    pool->free_count++;
}

void packet_free_many(struct packet **packets, unsigned count)
{
    struct packet_pool *pool;
    uint64_t flags;

    if (count == 0) {
        return;
    }
    pool = packets[0]->pool;
    flags = spinlock_lock_save(&pool->lock);
    for (unsigned i = 0; i < count; i++) {
        give_locked(pool, packets[i]);
    }
    spinlock_unlock_restore(&pool->lock, flags);
}

void packet_free(struct packet *packet)
{
    packet_free_many(&packet, 1);
}

struct packet_pool_counts packet_pool_count(struct packet_pool *pool)
{
    uint64_t flags = spinlock_lock_save(&pool->lock);
    struct packet_pool_counts counts = {pool->total, pool->free_count, pool->least_free,
                                        pool->exhausted};

    spinlock_unlock_restore(&pool->lock, flags);
    return counts;
}
