// SPDX-License-Identifier: MIT
/* The receive rings of the e1000 and e1000e against a device made here, which keeps head and tail
 * as the manuals say and writes what it likes: frames, lies about them, DONE where it owns nothing.
 * Under the sanitizers, with packets that are counted (fake_pool.h). The device acts between calls
 * only: how its writes and the driver's reads pass each other is not seen. */
#include "tests/host/fake_pool.h"
#include "tests/host/host_test.h"

#include <string.h>

#include "drivers/e1000_ring.h"

#define SLOTS   16u
#define PACKETS (SLOTS + E1000_SPARES + 8)

struct receiver {
    struct e1000_receive_ring ring;
    struct e1000_descriptor descriptors[SLOTS];
    struct packet *packets[SLOTS];
    struct packet_pool *pool;
    uint32_t head, tail; /* the device's registers */
};

static const struct e1000_receive_format *const formats[] = {&e1000_format_legacy,
                                                             &e1000_format_extended};

static struct receiver *receiver_make(const struct e1000_receive_format *format)
{
    struct receiver *receiver = calloc(1, sizeof(*receiver));

    receiver->pool = fake_pool_make(PACKETS);
    e1000_receive_ring_initialize(&receiver->ring, receiver->descriptors, receiver->packets, SLOTS,
                                  format, receiver->pool);
    assert_true(e1000_receive_ring_fill(&receiver->ring));
    receiver->tail = receiver->ring.tail;
    return receiver;
}

static void receiver_end(struct receiver *receiver)
{
    e1000_receive_ring_empty(&receiver->ring);
    assert_int_equal(e1000_receive_ring_count(&receiver->ring), 0);
    fake_pool_end(receiver->pool);
    free(receiver);
}

static void give(struct receiver *receiver)
{
    receiver->tail = e1000_receive_ring_give(&receiver->ring);
}

static uint64_t word_of(const struct e1000_receive_format *format, unsigned status, unsigned errors,
                        uint32_t length)
{
    return (uint64_t)status << format->status_shift | (uint64_t)errors << format->errors_shift |
           (uint64_t)length << format->length_shift;
}

/* The device stores a buffer's worth. Returns false if it owns no descriptor. */
static bool store(struct receiver *receiver, unsigned status, unsigned errors, uint32_t length,
                  uint8_t fill)
{
    struct e1000_descriptor *descriptor = &receiver->descriptors[receiver->head];
    uint32_t bytes = length < E1000_FRAME_BYTES_MAX ? length : E1000_FRAME_BYTES_MAX;

    if (receiver->head == receiver->tail) {
        return false;
    }
    memset((void *)descriptor->address, fill, bytes);
    if (receiver->ring.format == &e1000_format_extended) {
        descriptor->address = 0x5a5a5a5a5a5a5a5a; /* the write-back lies over it */
    }
    descriptor->word = word_of(receiver->ring.format, E1000_RECEIVE_DONE | status, errors, length);
    receiver->head = (receiver->head + 1) % SLOTS;
    return true;
}

static bool store_frame(struct receiver *receiver, uint32_t length, uint8_t fill)
{
    return store(receiver, E1000_RECEIVE_END, 0, length, fill);
}

static void expect_frame(struct receiver *receiver, uint32_t length, uint8_t fill)
{
    struct packet *packet = NULL;

    assert_true(e1000_receive_ring_has_more(&receiver->ring));
    assert_int_equal(e1000_receive_ring_take(&receiver->ring, &packet), E1000_TAKEN_FRAME);
    assert_int_equal(packet->length, length);
    for (uint32_t i = 0; i < length; i++) {
        assert_int_equal(packet->data[i], fill);
    }
    packet_free(packet);
}

static void expect(struct receiver *receiver, enum e1000_taken outcome)
{
    struct packet *packet = NULL;

    assert_int_equal(e1000_receive_ring_take(&receiver->ring, &packet), outcome);
    assert_null(packet);
}

static void device_gets_all_descriptors_but_one(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);
        unsigned stored = 0;

        assert_int_equal(e1000_receive_ring_count(&receiver->ring), SLOTS);
        while (store_frame(receiver, 60, 1)) {
            stored++;
        }
        assert_int_equal(stored, SLOTS - 1);
        for (unsigned k = 0; k < stored; k++) {
            expect_frame(receiver, 60, 1);
            assert_int_equal(e1000_receive_ring_ungiven(&receiver->ring), k + 1);
        }
        assert_false(store_frame(receiver, 60, 1)); /* not before it is told */
        give(receiver);
        assert_int_equal(e1000_receive_ring_ungiven(&receiver->ring), 0);
        for (stored = 0; store_frame(receiver, 60, 2);) {
            stored++;
        }
        assert_int_equal(stored, SLOTS - 1);
        receiver_end(receiver);
    }
}

static void frames_arrive_whole_and_in_order(void **state)
{
    uint64_t seed = 0x9e3779b97f4a7c15;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);

        for (unsigned round = 0; round < 2000; round++) {
            uint32_t lengths[SLOTS];
            unsigned count = next_random(&seed) % SLOTS;

            for (unsigned k = 0; k < count; k++) {
                lengths[k] = 1 + next_random(&seed) % E1000_FRAME_BYTES_MAX;
                assert_true(store_frame(receiver, lengths[k], (uint8_t)(round + k)));
            }
            for (unsigned k = 0; k < count; k++) {
                expect_frame(receiver, lengths[k], (uint8_t)(round + k));
            }
            assert_false(e1000_receive_ring_has_more(&receiver->ring));
            expect(receiver, E1000_TAKEN_NOTHING);
            give(receiver);
        }
        receiver_end(receiver);
    }
}

static void lengths_that_cannot_be_are_dropped_and_counted(void **state)
{
    static const uint32_t good[] = {1, 13, 60, 1514, 1518, E1000_FRAME_BYTES_MAX};
    static const uint32_t bad[] = {0, E1000_FRAME_BYTES_MAX + 1, 2048, 0x8000, 0xffff};

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);

        for (unsigned k = 0; k < ARRAY_COUNT(bad); k++) {
            assert_true(store_frame(receiver, bad[k], 3));
            expect(receiver, E1000_TAKEN_DROPPED);
            assert_int_equal(receiver->ring.lengths, k + 1);
        }
        for (unsigned k = 0; k < ARRAY_COUNT(good); k++) {
            assert_true(store_frame(receiver, good[k], 4));
            expect_frame(receiver, good[k], 4);
        }
        assert_int_equal(receiver->ring.lengths, ARRAY_COUNT(bad));
        receiver_end(receiver);
    }
}

/* CE, SE, SEQ, CXE, RXE; TCPE and IPE speak of checksums that the protocols verify. */
static void frames_with_errors_are_dropped_but_for_checksums(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);
        unsigned dropped = 0;

        for (unsigned bit = 0; bit < 8; bit++) {
            assert_true(store(receiver, E1000_RECEIVE_END, 1u << bit, 60, 5));
            if (bit == 3 || bit == 5 || bit == 6) {
                expect_frame(receiver, 60, 5);
            } else {
                expect(receiver, E1000_TAKEN_DROPPED);
                dropped++;
            }
            assert_int_equal(receiver->ring.errors, dropped);
        }
        assert_int_equal(dropped, 5);
        receiver_end(receiver);
    }
}

static void parts_of_a_frame_without_end_are_skipped_and_count_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);

        for (unsigned parts = 1; parts < 6; parts++) {
            for (unsigned k = 0; k < parts; k++) {
                assert_true(store(receiver, 0, 0, 1000, 6));
                expect(receiver, E1000_TAKEN_DROPPED);
            }
            assert_true(store_frame(receiver, 60, 7)); /* its last part */
            expect(receiver, E1000_TAKEN_DROPPED);
            assert_int_equal(receiver->ring.splits, parts);
            assert_true(store_frame(receiver, 60, 8));
            expect_frame(receiver, 60, 8);
            give(receiver);
        }
        receiver_end(receiver);
    }
}

static void without_fresh_buffers_frames_are_dropped_and_the_ring_stays_full(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);
        struct packet *hoard[PACKETS];
        unsigned hoarded = packet_allocate_many(receiver->pool, hoard, PACKETS);

        for (unsigned k = 0; k < 3 * SLOTS; k++) {
            assert_true(store_frame(receiver, 60, 9));
            expect(receiver, E1000_TAKEN_DROPPED);
            assert_int_equal(receiver->ring.no_buffer, k + 1);
            assert_int_equal(e1000_receive_ring_count(&receiver->ring), SLOTS);
            give(receiver);
        }
        packet_free(hoard[--hoarded]);
        assert_true(store_frame(receiver, 60, 10));
        expect_frame(receiver, 60, 10);
        assert_int_equal(receiver->ring.no_buffer, 3 * SLOTS);
        packet_free_many(hoard, hoarded);
        receiver_end(receiver);
    }
}

static void short_pool_leaves_the_ring_empty(void **state)
{
    struct receiver *receiver = receiver_make(&e1000_format_legacy);
    struct packet *hoard[PACKETS];
    unsigned hoarded;

    (void)state;
    e1000_receive_ring_empty(&receiver->ring);
    hoarded = packet_allocate_many(receiver->pool, hoard, PACKETS - SLOTS + 1);
    assert_false(e1000_receive_ring_fill(&receiver->ring));
    assert_int_equal(receiver->pool->free_count, SLOTS - 1);
    assert_int_equal(e1000_receive_ring_count(&receiver->ring), 0);
    packet_free_many(hoard, hoarded);
    assert_true(e1000_receive_ring_fill(&receiver->ring));
    receiver_end(receiver);
}

/* At each position of the ring, with spares and with frames that nobody has taken. */
static void reset_in_traffic_frees_each_packet_once(void **state)
{
    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);

        for (unsigned taken = 0; taken < 2 * SLOTS; taken++) {
            for (unsigned k = 0; k < taken; k++) {
                assert_true(store_frame(receiver, 60, 11));
                expect_frame(receiver, 60, 11);
                give(receiver);
            }
            store(receiver, 0, 0, 60, 12);
            expect(receiver, E1000_TAKEN_DROPPED); /* inside a frame */
            store_frame(receiver, 60, 13);
            e1000_receive_ring_empty(&receiver->ring);
            assert_int_equal(receiver->pool->free_count, PACKETS);
            assert_true(e1000_receive_ring_fill(&receiver->ring));
            receiver->head = 0;
            receiver->tail = receiver->ring.tail;
            assert_true(store_frame(receiver, 61, 14));
            expect_frame(receiver, 61, 14);
            give(receiver);
        }
        receiver_end(receiver);
    }
}

/* Whatever stands in the descriptors, owned or not: nothing is lost, no slot is without a buffer,
 * and what is taken as a frame fits its buffer. */
static void device_that_writes_anything_anywhere_loses_no_packet(void **state)
{
    uint64_t seed = 0xda3e39cb94b95bdb;
    unsigned frames = 0;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(formats); i++) {
        struct receiver *receiver = receiver_make(formats[i]);

        for (unsigned step = 0; step < 100000; step++) {
            struct packet *packet = NULL;
            struct e1000_descriptor *descriptor =
                &receiver->descriptors[next_random(&seed) % SLOTS];

            descriptor->word = next_random(&seed) % 2 == 0
                                   ? next_random(&seed)
                                   : word_of(formats[i], E1000_RECEIVE_DONE | E1000_RECEIVE_END, 0,
                                             next_random(&seed) % 2048);
            if (next_random(&seed) % 4 == 0) {
                descriptor->address = next_random(&seed);
            }
            if (e1000_receive_ring_take(&receiver->ring, &packet) == E1000_TAKEN_FRAME) {
                assert_in_range(packet->length, 1, E1000_FRAME_BYTES_MAX);
                packet_free(packet);
                frames++;
            }
            assert_true(e1000_receive_ring_ungiven(&receiver->ring) < SLOTS);
            assert_int_equal(e1000_receive_ring_count(&receiver->ring) + receiver->pool->free_count,
                             PACKETS);
            assert_true(e1000_receive_ring_count(&receiver->ring) >= SLOTS);
        }
        receiver_end(receiver);
    }
    assert_true(frames > 10000);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(device_gets_all_descriptors_but_one),
    cmocka_unit_test(frames_arrive_whole_and_in_order),
    cmocka_unit_test(lengths_that_cannot_be_are_dropped_and_counted),
    cmocka_unit_test(frames_with_errors_are_dropped_but_for_checksums),
    cmocka_unit_test(parts_of_a_frame_without_end_are_skipped_and_count_once),
    cmocka_unit_test(without_fresh_buffers_frames_are_dropped_and_the_ring_stays_full),
    cmocka_unit_test(short_pool_leaves_the_ring_empty),
    cmocka_unit_test(reset_in_traffic_frees_each_packet_once),
    cmocka_unit_test(device_that_writes_anything_anywhere_loses_no_packet),
};

HOST_TEST_MAIN(tests, NULL)
