// SPDX-License-Identifier: MIT
/* Tests of drivers/virtio_queue.c with an honest device, over all wraps of the 16-bit indices.
 *
 * Would detect: an index that is masked at the wrong place (tokens come back in the wrong order or
 * not at all), a doorbell left out or rung for nothing (the device's own need-event test
 * disagrees), and descriptors lost or given twice. */
#include "tests/host/fake_virtio.h"

#include <string.h>

static void sizes_that_cannot_be_are_refused_by_name(void **state)
{
    static const uint32_t refused[] = {0,     3,     5,     100,   255,       257,
                                       32767, 32769, 65535, 65536, UINT32_MAX};
    static const uint32_t taken[][2] = {{1, 1},     {2, 2},      {128, 128},  {256, 256},
                                        {512, 256}, {1024, 256}, {32768, 256}};
    uint16_t size = 7;

    (void)state;
    for (size_t i = 0; i < ARRAY_COUNT(refused); i++) {
        assert_non_null(virtio_queue_choose_size(refused[i], &size));
        assert_int_equal(size, 7);
    }
    for (size_t i = 0; i < ARRAY_COUNT(taken); i++) {
        assert_null(virtio_queue_choose_size(taken[i][0], &size));
        assert_int_equal(size, taken[i][1]);
    }
}

/* The largest queue, in a heap block of the promised size: every entry of it is used. */
static void largest_queue_fits_its_memory(void **state)
{
    struct virtio_taken taken[VIRTIO_QUEUE_SIZE_MAX];

    (void)state;
    queue_start(VIRTIO_QUEUE_SIZE_MAX, true);
    assert_true((uint8_t *)(queue.available_event + 1) <=
                (uint8_t *)memory + VIRTIO_QUEUE_MEMORY_BYTES);
    queue_add(VIRTIO_QUEUE_SIZE_MAX);
    device_work(VIRTIO_QUEUE_SIZE_MAX, 1);
    assert_int_equal(virtio_queue_take(&queue, taken, VIRTIO_QUEUE_SIZE_MAX),
                     VIRTIO_QUEUE_SIZE_MAX);
    assert_null(queue.broken);
}

/* Descriptors, rings and event words must not share a byte: each is filled with its own mark. */
static void parts_of_a_queue_do_not_overlap(void **state)
{
    (void)state;
    for (uint16_t size = 1; size <= VIRTIO_QUEUE_SIZE_MAX; size *= 2) {
        queue_start(size, true);
        memset(queue.descriptors, 1, size * sizeof(queue.descriptors[0]));
        memset(queue.available->ring, 2, size * sizeof(queue.available->ring[0]));
        *queue.used_event = 0x0303;
        memset(queue.used->ring, 4, size * sizeof(queue.used->ring[0]));
        *queue.available_event = 0x0505;
        assert_int_equal(((uint8_t *)queue.descriptors)[size * 16 - 1], 1);
        assert_int_equal(queue.available->index, 0);
        assert_int_equal(queue.available->ring[size - 1], 0x0202);
        assert_int_equal(*queue.used_event, 0x0303);
        assert_int_equal(queue.used->index, 0);
        assert_int_equal(queue.used->ring[size - 1].length, 0x04040404);
        assert_int_equal((uintptr_t)queue.descriptors % 16, 0);
        assert_int_equal((uintptr_t)queue.used % 4, 0);
        queue_end(NULL);
    }
}

static void device_finds_the_buffers_as_they_were_added(void **state)
{
    uint16_t head;

    (void)state;
    queue_start(SIZE, false);
    virtio_queue_add(&queue, 0x123456789a, 60, VIRTIO_DEVICE_READS, &tokens[0]);
    virtio_queue_add_request(&queue, 0x2000, 4, 0x3000, 1, &tokens[1]);
    assert_int_equal(device_sees(), 0); /* nothing before it is published */
    virtio_queue_publish(&queue);
    assert_int_equal(device_sees(), 2);
    head = device_take();
    assert_true(queue.descriptors[head].address == 0x123456789a);
    assert_int_equal(queue.descriptors[head].length, 60);
    assert_int_equal(queue.descriptors[head].flags, 0);
    head = device_take();
    assert_int_equal(queue.descriptors[head].flags, VIRTIO_DESCRIPTOR_NEXT);
    assert_int_equal(queue.descriptors[head].address, 0x2000);
    head = queue.descriptors[head].next;
    assert_int_equal(queue.descriptors[head].address, 0x3000);
    assert_int_equal(queue.descriptors[head].length, 1);
    assert_int_equal(queue.descriptors[head].flags, VIRTIO_DESCRIPTOR_WRITE);
}

/* Three laps of the 16-bit indices, in bursts of every size: each token comes back once, in order,
 * and the device is asked to interrupt exactly when it should be. */
static void buffers_come_back_once_and_in_order_over_all_wraps(void **state)
{
    struct virtio_taken taken[SIZE];
    uint64_t random = 88172645463325252ull;

    (void)state;
    for (unsigned has_events = 0; has_events < 2; has_events++) {
        queue_start(SIZE, has_events != 0);
        for (uint64_t passed = 0; passed < 3 * WRAP;) {
            unsigned burst = 1 + (unsigned)(next_random(&random) % SIZE);

            queue_add(burst);
            device_work(burst, burst);
            assert_int_equal(virtio_queue_take(&queue, taken, SIZE), burst);
            for (unsigned i = 0; i < burst; i++) {
                assert_ptr_equal(taken[i].token, &tokens[i]);
                assert_int_equal(taken[i].length, burst);
            }
            assert_int_equal(queue.free_count, SIZE);
            assert_int_equal(queue.in_flight, 0);
            passed += burst;
        }
        assert_null(queue.broken);
        queue_end(NULL);
    }
}

static void device_may_give_back_in_any_order(void **state)
{
    struct virtio_taken taken[SIZE];
    uint16_t heads[SIZE];

    (void)state;
    queue_start(SIZE, true);
    queue_add(SIZE);
    for (unsigned i = 0; i < SIZE; i++) {
        heads[i] = device_take();
    }
    for (unsigned i = SIZE; i-- > 0;) {
        device_give_back(heads[i], i);
    }
    assert_int_equal(virtio_queue_take(&queue, taken, SIZE), SIZE);
    for (unsigned i = 0; i < SIZE; i++) {
        assert_ptr_equal(taken[i].token, &tokens[SIZE - 1 - i]);
        assert_int_equal(taken[i].length, SIZE - 1 - i);
    }
    queue_add(SIZE); /* all are free again */
    assert_int_equal(device_sees(), SIZE);
}

static void full_queue_takes_no_more(void **state)
{
    (void)state;
    queue_start(SIZE, true);
    queue_add(SIZE - 1);
    assert_false(virtio_queue_add_request(&queue, 1, 1, 2, 1, &tokens[7]));
    queue_add(1);
    assert_false(virtio_queue_add(&queue, 1, 1, VIRTIO_DEVICE_READS, &tokens[7]));
    assert_int_equal(queue.in_flight, SIZE);
    virtio_queue_publish(&queue);
    assert_int_equal(device_sees(), SIZE);
}

static void request_frees_both_descriptors(void **state)
{
    struct virtio_taken taken;

    (void)state;
    queue_start(SIZE, true);
    for (unsigned i = 0; i < 3 * SIZE; i++) {
        assert_true(virtio_queue_add_request(&queue, 1, 4, 2, 1, &tokens[0]));
        virtio_queue_publish(&queue);
        device_work(1, 1);
        assert_int_equal(virtio_queue_take(&queue, &taken, 1), 1);
        assert_int_equal(queue.free_count, SIZE);
    }
}

/* The device sleeps once it has taken everything, and says so by available_event; each time
 * something is published then, the doorbell must be rung, and never otherwise. At every distance
 * from the wrap. */
static void doorbell_is_rung_exactly_when_the_device_sleeps(void **state)
{
    struct virtio_taken taken[SIZE];

    (void)state;
    for (uint16_t distance = 0; distance <= 2 * SIZE; distance++) {
        queue_start_near_wrap(SIZE, true, distance);
        for (unsigned round = 0; round < 4 * SIZE; round++) {
            unsigned burst = 1 + round % (SIZE / 2);

            *queue.available_event = device.taken; /* it sleeps */
            queue_add(burst);
            assert_true(virtio_queue_should_notify(&queue));
            assert_false(virtio_queue_should_notify(&queue)); /* nothing new */
            queue_add(1); /* it is awake now, and has not taken the event back */
            assert_false(virtio_queue_should_notify(&queue));
            device_work(burst + 1, 0);
            assert_int_equal(virtio_queue_take(&queue, taken, SIZE), burst + 1);
        }
        queue_end(NULL);
    }
}

/* The event lies inside a burst that was published in one go: at any place of it. */
static void doorbell_is_rung_if_the_event_lies_anywhere_in_a_burst(void **state)
{
    (void)state;
    for (unsigned place = 0; place < 2 * SIZE; place++) {
        queue_start_near_wrap(SIZE, true, SIZE / 2);
        *queue.available_event = (uint16_t)(device.taken + place);
        queue_add(SIZE);
        assert_int_equal(virtio_queue_should_notify(&queue), place < SIZE);
        queue_end(NULL);
    }
}

static void without_events_the_flag_of_the_device_is_obeyed(void **state)
{
    (void)state;
    queue_start(SIZE, false);
    queue_add(1);
    assert_true(virtio_queue_should_notify(&queue));
    queue.used->flags = VIRTIO_USED_NO_NOTIFY;
    queue_add(1);
    assert_false(virtio_queue_should_notify(&queue));
    queue.used->flags = 0;
    queue_add(1);
    assert_true(virtio_queue_should_notify(&queue));
}

/* Off, nothing the queue can hold raises an interrupt; on, the very next buffer does. */
static void interrupts_come_when_wanted_and_only_then(void **state)
{
    struct virtio_taken taken[SIZE];

    (void)state;
    for (unsigned has_events = 0; has_events < 2; has_events++) {
        for (uint16_t distance = 0; distance <= 2 * SIZE; distance++) {
            queue_start_near_wrap(SIZE, has_events != 0, distance);
            queue_add(SIZE);
            device_work(SIZE, 0);
            assert_false(device_interrupts());
            assert_true(virtio_queue_interrupt_on(&queue)); /* something came meanwhile */
            virtio_queue_interrupt_off(&queue);
            assert_int_equal(virtio_queue_take(&queue, taken, SIZE), SIZE);
            assert_false(virtio_queue_interrupt_on(&queue));
            queue_add(SIZE);
            device_work(1, 0);
            assert_true(device_interrupts());
            virtio_queue_interrupt_off(&queue);
            device_work(SIZE - 1, 0);
            assert_false(device_interrupts());
            assert_int_equal(virtio_queue_take(&queue, taken, SIZE), SIZE);
            queue_end(NULL);
        }
    }
}

static void hint_says_whether_something_has_come(void **state)
{
    struct virtio_taken taken;

    (void)state;
    queue_start_near_wrap(SIZE, true, 1);
    queue_add(2);
    assert_false(virtio_queue_has_arrived(&queue));
    device_work(1, 0);
    assert_true(virtio_queue_has_arrived(&queue));
    virtio_queue_take(&queue, &taken, 1);
    assert_false(virtio_queue_has_arrived(&queue));
}

static const struct CMUnitTest tests[] = {
    VIRTIO_CASE(sizes_that_cannot_be_are_refused_by_name),
    VIRTIO_CASE(largest_queue_fits_its_memory),
    VIRTIO_CASE(parts_of_a_queue_do_not_overlap),
    VIRTIO_CASE(device_finds_the_buffers_as_they_were_added),
    VIRTIO_CASE(buffers_come_back_once_and_in_order_over_all_wraps),
    VIRTIO_CASE(device_may_give_back_in_any_order),
    VIRTIO_CASE(full_queue_takes_no_more),
    VIRTIO_CASE(request_frees_both_descriptors),
    VIRTIO_CASE(doorbell_is_rung_exactly_when_the_device_sleeps),
    VIRTIO_CASE(doorbell_is_rung_if_the_event_lies_anywhere_in_a_burst),
    VIRTIO_CASE(without_events_the_flag_of_the_device_is_obeyed),
    VIRTIO_CASE(interrupts_come_when_wanted_and_only_then),
    VIRTIO_CASE(hint_says_whether_something_has_come),
};

HOST_TEST_MAIN(tests, NULL)
