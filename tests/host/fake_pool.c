// SPDX-License-Identifier: MIT
/* A pool of packets for host tests; see fake_pool.h. */
#include "tests/host/fake_pool.h"

#include "tests/host/host_test.h"

#include <string.h>

struct packet_pool *fake_pool_make(uint32_t total)
{
    struct packet_pool *pool = calloc(1, sizeof(*pool));

    pool->packets = aligned_alloc(_Alignof(struct packet), total * sizeof(struct packet));
    memset(pool->packets, 0, total * sizeof(struct packet));
    pool->total = total;
    for (uint32_t i = 0; i < total; i++) {
        struct packet *packet = &pool->packets[i];

        packet->buffer = malloc(PACKET_BUFFER_BYTES);
        packet->physical = (uint64_t)packet->buffer;
        packet->pool = pool;
        packet->is_allocated = true;
        packet_free(packet);
    }
    return pool;
}

void fake_pool_end(struct packet_pool *pool)
{
    assert_int_equal(pool->free_count, pool->total);
    for (uint32_t i = 0; i < pool->total; i++) {
        free(pool->packets[i].buffer);
    }
    free(pool->packets);
    free(pool);
}

unsigned packet_allocate_many(struct packet_pool *pool, struct packet **packets, unsigned count)
{
    unsigned got = 0;

    for (; got < count && pool->free != NULL; got++) {
        packets[got] = pool->free;
        pool->free = packets[got]->next;
        pool->free_count--;
        packets[got]->is_allocated = true;
        packets[got]->data = packets[got]->buffer + PACKET_HEADROOM;
        packets[got]->length = 0;
    }
    return got;
}

void packet_free(struct packet *packet)
{
    assert_true(packet->is_allocated);
    packet->is_allocated = false;
    packet->next = packet->pool->free;
    packet->pool->free = packet;
    packet->pool->free_count++;
}

void packet_free_many(struct packet **packets, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        assert_ptr_equal(packets[i]->pool, packets[0]->pool);
        packet_free(packets[i]);
    }
}
