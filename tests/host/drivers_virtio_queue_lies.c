// SPDX-License-Identifier: MIT
/* Tests of drivers/virtio_queue.c with a device that writes what no device may write.
 *
 * Would detect whatever is used of the device's memory before it is checked: the address sanitizer
 * sees accesses outside, and each token must come back exactly once all the same. */
#include "tests/host/fake_virtio.h"

/* Nothing more comes out of a broken queue, and detach() still gives every token back, once. */
static void assert_broken_with(unsigned tokens_left)
{
    struct virtio_taken taken[SIZE];
    unsigned seen = 0, times[SIZE] = {0};
    uint64_t *token;

    assert_non_null(queue.broken);
    assert_int_equal(virtio_queue_take(&queue, taken, SIZE), 0);
    assert_false(virtio_queue_has_arrived(&queue));
    assert_false(virtio_queue_interrupt_on(&queue));
    while ((token = virtio_queue_detach(&queue)) != NULL) {
        assert_int_equal(times[token - tokens]++, 0);
        seen++;
    }
    assert_int_equal(seen, tokens_left);
    assert_int_equal(queue.in_flight, 0);
}

static void unknown_buffers_break_the_queue(void **state)
{
    static const uint32_t ids[] = {SIZE, SIZE + 1, 255, 256, 0x7fff, 0xffff, 0x10000, UINT32_MAX};
    struct virtio_taken taken[SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(ids); i++) {
        queue_start(SIZE, true);
        queue_add(SIZE);
        device_work(2, 1);
        device_give_back(ids[i], 0);
        device_work(1, 1);
        assert_int_equal(virtio_queue_take(&queue, taken, SIZE), 2); /* those before it are good */
        assert_broken_with(SIZE - 2);
        queue_end(NULL);
    }
}

static void buffer_given_back_twice_breaks_the_queue(void **state)
{
    struct virtio_taken taken[SIZE];
    uint16_t head;

    (void)state;
    queue_start(SIZE, true);
    queue_add(3);
    head = device_take();
    device_give_back(head, 0);
    device_give_back(head, 0);
    assert_int_equal(virtio_queue_take(&queue, taken, SIZE), 1);
    assert_broken_with(2);
}

/* The second descriptor of a chain is no buffer of its own. */
static void half_of_a_request_breaks_the_queue(void **state)
{
    struct virtio_taken taken;

    (void)state;
    queue_start(SIZE, true);
    virtio_queue_add_request(&queue, 1, 4, 2, 1, &tokens[0]);
    virtio_queue_publish(&queue);
    device_give_back(queue.descriptors[device_take()].next, 1);
    assert_int_equal(virtio_queue_take(&queue, &taken, 1), 0);
    assert_broken_with(1);
}

static void used_index_beyond_what_was_given_breaks_the_queue(void **state)
{
    static const uint16_t jumps[] = {4,    SIZE,   SIZE + 1,
                                     1000, 0x8000, 0xffff}; /* 0xffff: backwards */
    struct virtio_taken taken[SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(jumps); i++) {
        queue_start_near_wrap(SIZE, true, 2);
        queue_add(3);
        queue.used->index = (uint16_t)(queue.used->index + jumps[i]);
        assert_int_equal(virtio_queue_take(&queue, taken, SIZE), 0);
        assert_broken_with(3);
        queue_end(NULL);
    }
}

static void longer_than_the_buffer_breaks_the_queue(void **state)
{
    static const uint32_t lengths[] = {BUFFER_BYTES + 1, 0x10000, 0x80000000, UINT32_MAX};
    struct virtio_taken taken[SIZE];

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(lengths); i++) {
        queue_start(SIZE, true);
        queue_add(2);
        device_work(1, BUFFER_BYTES);
        device_work(1, lengths[i]);
        assert_int_equal(virtio_queue_take(&queue, taken, SIZE), 1);
        assert_int_equal(taken[0].length, BUFFER_BYTES);
        assert_broken_with(1);
        queue_end(NULL);
    }
}

/* A buffer that the device may only read has no length to come back with. */
static void bytes_in_a_buffer_to_read_break_the_queue(void **state)
{
    struct virtio_taken taken;

    (void)state;
    queue_start(SIZE, true);
    virtio_queue_add(&queue, 1, BUFFER_BYTES, VIRTIO_DEVICE_READS, &tokens[0]);
    virtio_queue_publish(&queue);
    device_work(1, 1);
    assert_int_equal(virtio_queue_take(&queue, &taken, 1), 0);
    assert_broken_with(1);
}

/* All that a device can reach holds random bytes, again and again: no access outside (sanitizer),
 * and no token lost or given twice. */
static void random_bytes_everywhere_lose_no_token(void **state)
{
    struct virtio_taken taken[SIZE];
    uint64_t random = 0x9e3779b97f4a7c15ull;

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        unsigned held = 0, times[SIZE] = {0}, count;
        uint64_t *token;

        queue_start(SIZE, (next_random(&random) & 1) != 0);
        queue_add(SIZE);
        device_work((unsigned)(next_random(&random) % SIZE),
                    (uint32_t)(next_random(&random) % 128));
        for (unsigned lies = (unsigned)(next_random(&random) % 4); lies > 0; lies--) {
            uint8_t *reachable = (uint8_t *)queue.descriptors;
            size_t bytes = (size_t)((uint8_t *)(queue.available_event + 1) - reachable);

            reachable[next_random(&random) % bytes] = (uint8_t)next_random(&random);
        }
        while ((count = virtio_queue_take(&queue, taken, 3)) > 0) {
            for (unsigned i = 0; i < count; i++) {
                times[(uint64_t *)taken[i].token - tokens]++;
                held++;
                assert_true(taken[i].length <= BUFFER_BYTES);
            }
        }
        virtio_queue_should_notify(&queue);
        virtio_queue_interrupt_on(&queue);
        while ((token = virtio_queue_detach(&queue)) != NULL) {
            times[token - tokens]++;
            held++;
        }
        assert_int_equal(held, SIZE);
        for (unsigned i = 0; i < SIZE; i++) {
            assert_int_equal(times[i], 1);
        }
        queue_end(NULL);
    }
}

static const struct CMUnitTest tests[] = {
    VIRTIO_CASE(unknown_buffers_break_the_queue),
    VIRTIO_CASE(buffer_given_back_twice_breaks_the_queue),
    VIRTIO_CASE(half_of_a_request_breaks_the_queue),
    VIRTIO_CASE(used_index_beyond_what_was_given_breaks_the_queue),
    VIRTIO_CASE(longer_than_the_buffer_breaks_the_queue),
    VIRTIO_CASE(bytes_in_a_buffer_to_read_break_the_queue),
    VIRTIO_CASE(random_bytes_everywhere_lose_no_token),
};

HOST_TEST_MAIN(tests, NULL)
