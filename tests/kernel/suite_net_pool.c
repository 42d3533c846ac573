// SPDX-License-Identifier: MIT
/* Pools of packets: each packet has one owner, whoever takes and gives at the same time. All
 * figures are exact. */
#include "arch/clock.h"
#include "arch/interrupts.h"
#include "arch/single_step.h"
#include "kernel/string.h"
#include "net/packet.h"
#include "net/wire.h"
#include "patching/platform.h"
#include "patching/transaction.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define POOL_PACKETS 33u /* odd: the last page holds one buffer */

static void pool_hands_out_each_packet_once(struct test *test)
{
    struct packet_pool *pool = packet_pool_create("test", POOL_PACKETS);
    struct packet *packets[POOL_PACKETS];

    if (!EXPECT(test, pool != NULL)) {
        return;
    }
    for (unsigned i = 0; i < POOL_PACKETS; i++) {
        packets[i] = packet_allocate(pool);
        if (EXPECT(test, packets[i] != NULL)) {
            memset(packets[i]->buffer, (int)i, PACKET_BUFFER_BYTES);
        }
    }
    EXPECT(test, packet_allocate(pool) == NULL);
    EXPECT_EQUAL(test, packet_pool_count(pool).exhausted, 1);
    EXPECT_EQUAL(test, packet_pool_count(pool).free, 0);
    for (unsigned i = 0; i < POOL_PACKETS; i++) {
        EXPECT_EQUAL(test, packets[i]->buffer[0], i);
        EXPECT_EQUAL(test, packets[i]->buffer[PACKET_BUFFER_BYTES - 1], i);
        packet_free(packets[i]);
    }
    EXPECT_EQUAL(test, packet_pool_count(pool).free, POOL_PACKETS);
    EXPECT_EQUAL(test, packet_pool_count(pool).least_free, 0);
    packet_pool_destroy(pool);
}

/* All CPUs take and give from a pool with too few packets for them. A packet that two have got at
 * once shows its owner's mark overwritten; a list that was torn loses packets or panics. May miss a
 * fault: on a host with fewer cores than CPUs the one whose ticket is next is often away, and there
 * are few rounds. */
#define RACE_ROUNDS 20000u
#define RACE_NS     300000000ull /* and not longer, however slow the host */
#define RACE_HELD   4u

static struct pool_race {
    struct packet_pool *pool;
    uint32_t overwritten;
    uint32_t mark;
} pool_race;

static void take_mark_and_give(void *argument)
{
    (void)argument;
    uint32_t mark = __atomic_add_fetch(&pool_race.mark, 1, __ATOMIC_RELAXED);
    uint64_t end_ns = clock_now_ns() + RACE_NS; /* now that all have arrived */
    struct packet *packets[RACE_HELD];

    for (unsigned round = 0; round < RACE_ROUNDS && clock_now_ns() < end_ns; round++) {
        unsigned got =
            packet_allocate_many(pool_race.pool, packets, 1 + (round + mark) % RACE_HELD);

        for (unsigned i = 0; i < got; i++) {
            wire_put32(packets[i]->buffer, mark);
        }
        for (unsigned i = 0; i < got; i++) {
            if (wire_get32(packets[i]->buffer) != mark) {
                __atomic_fetch_add(&pool_race.overwritten, 1, __ATOMIC_RELAXED);
            }
        }
        packet_free_many(packets, got);
    }
}

static void pool_survives_all_cpus(struct test *test)
{
    struct workers workers;

    pool_race = (struct pool_race){.pool = packet_pool_create("test", 2 * RACE_HELD)};
    if (!EXPECT(test, pool_race.pool != NULL)) {
        return;
    }
    if (EXPECT(test, workers_start(&workers, true, take_mark_and_give, NULL))) {
        workers_join(&workers);
    }
    EXPECT_EQUAL(test, pool_race.overwritten, 0);
    EXPECT_EQUAL(test, packet_pool_count(pool_race.pool).free, 2 * RACE_HELD);
    packet_pool_destroy(pool_race.pool);
}

#define STEPPED_PACKETS 512u /* more than a call and a release have instructions */

static struct stepped {
    struct packet_pool *pool;
    struct packet *packets[STEPPED_PACKETS]; /* taken */
    unsigned count;
    bool was_held; /* the lock, behind some instruction */
} stepped;

static void take_and_give(uint64_t argument)
{
    (void)argument;
    packet_free(packet_allocate(stepped.pool));
}

/* Returns false if there is none. */
static bool take_another(void)
{
    struct packet *packet = packet_allocate(stepped.pool);

    if (packet != NULL) {
        stepped.packets[stepped.count++] = packet;
    }
    return packet != NULL;
}

/* Where the lock is held, another CPU would wait. */
static void take_between(uint64_t address, uint64_t next, void *context)
{
    const struct spinlock *lock = &stepped.pool->lock;

    (void)address;
    (void)next;
    (void)context;
    if (lock->next != lock->serving) {
        stepped.was_held = true;
    } else if (stepped.count < STEPPED_PACKETS) {
        take_another();
    }
}

static bool step_through(struct test *test)
{
    uint64_t flags;

    if (!EXPECT_EQUAL(test, patch_lock_take(), PATCH_OK)) {
        return false;
    }
    flags = interrupts_save();
    single_step_run(take_and_give, 0, take_between, NULL);
    interrupts_restore(flags);
    platform_unlock();
    return true;
}

/* Whether none was taken twice. */
static bool packets_are_distinct(void)
{
    bool are_distinct = true;

    for (unsigned i = 0; i < stepped.count; i++) {
        wire_put32(stepped.packets[i]->buffer, i);
    }
    for (unsigned i = 0; i < stepped.count; i++) {
        are_distinct = are_distinct && wire_get32(stepped.packets[i]->buffer) == i;
    }
    return are_distinct;
}

/* One packet is taken and given back, and behind each instruction of that at which another CPU
 * would get the lock, one more is taken, as it would: a race that no host can keep apart. What was
 * taken and what is left must be the pool. Would miss what two CPUs see in different order.
 * Mutant: pool-hands-out-without-its-lock. */
static void pool_is_whole_wherever_another_takes(struct test *test)
{
    stepped = (struct stepped){.pool = packet_pool_create("test", STEPPED_PACKETS)};
    if (!EXPECT(test, stepped.pool != NULL) || !step_through(test)) {
        return;
    }
    EXPECT(test, stepped.was_held);
    EXPECT(test, stepped.count > 50 && stepped.count < STEPPED_PACKETS);
    EXPECT_EQUAL(test, packet_pool_count(stepped.pool).free, STEPPED_PACKETS - stepped.count);
    if (!EXPECT(test, packets_are_distinct())) {
        return; /* to give them back would panic */
    }
    while (stepped.count < STEPPED_PACKETS && take_another()) {
    }
    EXPECT_EQUAL(test, stepped.count, STEPPED_PACKETS);
    if (EXPECT(test, packets_are_distinct())) {
        packet_free_many(stepped.packets, stepped.count);
        packet_pool_destroy(stepped.pool);
    }
}

static const struct test_case cases[] = {
    TEST_CASE(pool_hands_out_each_packet_once),
    TEST_CASE(pool_is_whole_wherever_another_takes),
    TEST_CASE(pool_survives_all_cpus),
};

const struct test_suite suite_net_pool = TEST_SUITE("net_pool", cases);
