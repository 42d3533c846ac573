// SPDX-License-Identifier: MIT
/* The transmit rings of the e1000 and e1000e against a device made here, which sends in order what
 * it was told of, or says it has sent what it was not. Under the sanitizers, with packets that are
 * counted (fake_pool.h). The device acts between calls only. */
#include "tests/host/fake_pool.h"
#include "tests/host/host_test.h"

#include <string.h>

#include "drivers/e1000_ring.h"

#define SLOTS   16u
#define PACKETS (2 * SLOTS)

static struct packet *packet_take(struct packet_pool *pool)
{
    struct packet *packet = NULL;

    assert_int_equal(packet_allocate_many(pool, &packet, 1), 1);
    return packet;
}

struct sender {
    struct e1000_transmit_ring ring;
    struct e1000_descriptor descriptors[SLOTS];
    struct packet *packets[SLOTS];
    struct packet_pool *pool;
    uint32_t head, tail;
};

static struct sender *sender_make(void)
{
    struct sender *sender = calloc(1, sizeof(*sender));

    sender->pool = fake_pool_make(PACKETS);
    e1000_transmit_ring_initialize(&sender->ring, sender->descriptors, sender->packets, SLOTS);
    return sender;
}

static void sender_end(struct sender *sender)
{
    e1000_transmit_ring_empty(&sender->ring);
    assert_int_equal(e1000_transmit_ring_count(&sender->ring), 0);
    fake_pool_end(sender->pool);
    free(sender);
}

static struct packet *frame_make(struct packet_pool *pool, uint32_t length, uint8_t fill)
{
    struct packet *packet = packet_take(pool);

    memset(packet_append(packet, length), fill, length);
    return packet;
}

static bool put(struct sender *sender, uint8_t fill)
{
    struct packet *packet = frame_make(sender->pool, 60 + fill, fill);

    if (!e1000_transmit_ring_put(&sender->ring, packet)) {
        packet_free(packet);
        return false;
    }
    return true;
}

static void tell(struct sender *sender)
{
    sender->tail = e1000_transmit_ring_give(&sender->ring);
}

/* The device sends one frame, which put() has made with @fill. */
static void send(struct sender *sender, uint8_t fill)
{
    struct e1000_descriptor *descriptor = &sender->descriptors[sender->head];
    const uint8_t *bytes = (const uint8_t *)descriptor->address;

    assert_true(sender->head != sender->tail);
    assert_int_equal(descriptor->word, (60u + fill) | E1000_TRANSMIT_END | E1000_TRANSMIT_CRC |
                                           E1000_TRANSMIT_REPORT);
    assert_int_equal(bytes[0], fill);
    assert_int_equal(bytes[59u + fill], fill);
    descriptor->word |= E1000_TRANSMIT_DONE;
    sender->head = (sender->head + 1) % SLOTS;
}

static void full_ring_refuses_and_goes_on_when_one_is_sent(void **state)
{
    struct sender *sender = sender_make();
    uint8_t next = 0;

    (void)state;
    while (put(sender, next)) {
        next++;
    }
    assert_int_equal(next, SLOTS - 1);
    assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), SLOTS - 1);
    tell(sender);
    for (uint8_t sent = 0; sent < 200; sent++) {
        assert_false(put(sender, next));
        send(sender, sent);
        assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), SLOTS - 2);
        assert_true(put(sender, next));
        next++;
        tell(sender);
    }
    assert_int_equal(sender->pool->free_count, PACKETS - (SLOTS - 1));
    sender_end(sender);
}

static void device_is_told_once_of_many_frames(void **state)
{
    struct sender *sender = sender_make();

    (void)state;
    assert_false(e1000_transmit_ring_is_behind(&sender->ring));
    for (uint8_t i = 0; i < 5; i++) {
        assert_true(put(sender, i));
        assert_true(e1000_transmit_ring_is_behind(&sender->ring));
    }
    tell(sender);
    assert_int_equal(sender->tail, 5);
    assert_false(e1000_transmit_ring_is_behind(&sender->ring));
    for (uint8_t i = 0; i < 5; i++) {
        send(sender, i);
    }
    assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 0);
    assert_int_equal(sender->pool->free_count, PACKETS);
    sender_end(sender);
}

static void only_what_the_device_was_told_of_is_reclaimed(void **state)
{
    struct sender *sender = sender_make();

    (void)state;
    for (uint8_t i = 0; i < 3; i++) {
        assert_true(put(sender, i));
    }
    tell(sender);
    for (uint8_t i = 3; i < 6; i++) {
        assert_true(put(sender, i));
    }
    for (unsigned slot = 0; slot < SLOTS; slot++) { /* all, used or not */
        sender->descriptors[slot].word |= E1000_TRANSMIT_DONE;
    }
    assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 3);
    assert_int_equal(sender->pool->free_count, PACKETS - 3);
    sender_end(sender);
}

static void frames_done_out_of_order_wait_for_those_before(void **state)
{
    struct sender *sender = sender_make();

    (void)state;
    for (uint8_t i = 0; i < 4; i++) {
        assert_true(put(sender, i));
    }
    tell(sender);
    sender->descriptors[1].word |= E1000_TRANSMIT_DONE;
    sender->descriptors[3].word |= E1000_TRANSMIT_DONE;
    assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 4);
    sender->descriptors[0].word |= E1000_TRANSMIT_DONE;
    assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 2);
    sender->descriptors[2].word |= E1000_TRANSMIT_DONE;
    assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 0);
    sender_end(sender);
}

/* packet_free_many() here refuses packets of several pools. */
static void packets_go_back_to_the_pools_they_came_from(void **state)
{
    struct sender *sender = sender_make();
    struct packet_pool *other = fake_pool_make(SLOTS);

    (void)state;
    for (unsigned round = 0; round < SLOTS; round++) {
        for (uint8_t i = 0; i < 7; i++) {
            struct packet *packet =
                frame_make(i % 3 == round % 3 ? other : sender->pool, 60u + i, i);

            assert_true(e1000_transmit_ring_put(&sender->ring, packet));
        }
        tell(sender);
        for (uint8_t i = 0; i < 7; i++) {
            send(sender, i);
        }
        assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 0);
        assert_int_equal(other->free_count, SLOTS);
        assert_int_equal(sender->pool->free_count, PACKETS);
    }
    fake_pool_end(other);
    sender_end(sender);
}

static void frames_are_sent_in_order_and_once(void **state)
{
    struct sender *sender = sender_make();
    uint64_t seed = 0x853c49e6748fea9b;
    uint8_t next = 0;
    uint8_t sent = 0;

    (void)state;
    for (unsigned step = 0; step < 50000; step++) {
        switch (next_random(&seed) % 4) {
        case 0:
            next += put(sender, next);
            break;
        case 1:
            tell(sender);
            break;
        case 2:
            if (sender->head != sender->tail) {
                send(sender, sent++);
            }
            break;
        default:
            e1000_transmit_ring_reclaim(&sender->ring);
            break;
        }
        assert_int_equal(e1000_transmit_ring_count(&sender->ring) + sender->pool->free_count,
                         PACKETS);
    }
    assert_true(sent != 0 && e1000_transmit_ring_count(&sender->ring) < SLOTS);
    sender_end(sender);
}

/* At each position, with frames sent, told of and neither. */
static void reset_frees_what_waits_to_be_sent(void **state)
{
    struct sender *sender = sender_make();

    (void)state;
    for (unsigned position = 0; position < SLOTS; position++) {
        for (uint8_t i = 0; i < position; i++) {
            assert_true(put(sender, i));
            tell(sender);
        }
        if (position > 1) {
            send(sender, 0);
        }
        put(sender, 20);
        e1000_transmit_ring_empty(&sender->ring);
        assert_int_equal(sender->pool->free_count, PACKETS);
        sender->head = sender->tail = 0;
        assert_true(put(sender, 30));
        assert_true(e1000_transmit_ring_is_behind(&sender->ring));
        tell(sender);
        send(sender, 30);
        assert_int_equal(e1000_transmit_ring_reclaim(&sender->ring), 0);
        e1000_transmit_ring_empty(&sender->ring);
        sender->head = sender->tail = 0;
    }
    sender_end(sender);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(full_ring_refuses_and_goes_on_when_one_is_sent),
    cmocka_unit_test(device_is_told_once_of_many_frames),
    cmocka_unit_test(only_what_the_device_was_told_of_is_reclaimed),
    cmocka_unit_test(frames_done_out_of_order_wait_for_those_before),
    cmocka_unit_test(packets_go_back_to_the_pools_they_came_from),
    cmocka_unit_test(frames_are_sent_in_order_and_once),
    cmocka_unit_test(reset_frees_what_waits_to_be_sent),
};

HOST_TEST_MAIN(tests, NULL)
