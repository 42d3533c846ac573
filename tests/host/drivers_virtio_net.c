// SPDX-License-Identifier: MIT
/* Tests of drivers/virtio_net_rings.c over the real virtqueue, with a device and a net/ of the
 * tests' own. The device reaches packets by the addresses in the descriptors alone, and each buffer
 * is an allocation of its own, so a descriptor that is too long is a sanitizer's report.
 *
 * Would detect: a frame handed on with the wrong bytes, length or owner; a buffer lost, given twice
 * or not replaced (the pool must be whole at the end of each case); a header of the device that is
 * believed; a full ring that never empties. Does not test interrupts and registers: tests/boot. */
#include "tests/host/fake_pool.h"
#include "tests/host/host_test.h"

#include <string.h>

#include "drivers/virtio_net.h"
#include "net/receive.h"

#define SIZE    8u
#define PACKETS 24u

__thread bool net_fake_interrupts_are_off; /* net_overlay/arch/instructions.h */
struct static_key netstamp_needed;

static struct virtio_net nic;
static struct virtio_pci_queue receive_queue, transmit_queue;
static uint16_t doorbells[2];
static const char *failure;
static struct packet *received[64];
static unsigned received_count;

void net_device_fail(struct net_device *device, const char *why)
{
    assert_ptr_equal(device, &nic.device);
    failure = why;
}

void net_receive(struct packet *packet)
{
    assert_ptr_equal(packet->device, &nic.device);
    assert_int_equal(packet->queue, 0);
    received[received_count++] = packet;
}

struct packet *packet_allocate(struct packet_pool *pool)
{
    struct packet *packet;

    return packet_allocate_many(pool, &packet, 1) == 1 ? packet : NULL;
}

void spinlock_report_stuck(const struct spinlock *lock)
{
    fail_msg("%s is stuck", lock->name);
    abort();
}

void spinlock_report_interrupts(const struct spinlock *lock)
{
    fail_msg("%s taken with interrupts on", lock->name);
    abort();
}

static void queue_make(struct virtio_pci_queue *queue, uint16_t index)
{
    queue->memory = calloc(1, VIRTIO_QUEUE_MEMORY_BYTES);
    queue->doorbell = &doorbells[index];
    queue->index = index;
    doorbells[index] = 0xffff;
    virtio_queue_initialize(&queue->ring, queue->memory, SIZE, true);
}

static int start(void **state)
{
    (void)state;
    nic = (struct virtio_net){.features = VIRTIO_NET_FEATURE_MERGED};
    nic.device.driver_data = &nic;
    nic.device.queue_count = 1;
    nic.device.pool = fake_pool_make(PACKETS);
    nic.pairs[0].receive = &receive_queue;
    nic.pairs[0].transmit = &transmit_queue;
    queue_make(&receive_queue, 0);
    queue_make(&transmit_queue, 1);
    failure = NULL;
    received_count = 0;
    assert_int_equal(virtio_net_fill(&nic, 0), SIZE);
    return 0;
}

static void free_received(void)
{
    packet_free_many(received, received_count);
    received_count = 0;
}

static void end_queues(void)
{
    free(receive_queue.memory);
    free(transmit_queue.memory);
}

static int end(void **state)
{
    (void)state;
    free_received();
    virtio_net_empty(&nic.pairs[0]);
    assert_int_equal(receive_queue.ring.in_flight + transmit_queue.ring.in_flight, 0);
    fake_pool_end(nic.device.pool);
    end_queues();
    return 0;
}

/* The device: takes the next descriptor of a ring. It keeps no index of its own: the used index
 * says how many it has given back. */
static struct virtio_descriptor *device_next(struct virtio_queue *ring, uint16_t *head)
{
    uint16_t index = ring->used->index;

    assert_true((uint16_t)(ring->available->index - index) > 0);
    *head = ring->available->ring[index % SIZE];
    return &ring->descriptors[*head];
}

static void device_done(struct virtio_queue *ring, uint16_t head, uint32_t length)
{
    ring->used->ring[ring->used->index % SIZE] = (struct virtio_used_entry){head, length};
    ring->used->index++;
}

/* Receives @length bytes, each @mark, into a buffer that claims to be the first of @buffers. */
static void device_receives(uint32_t length, uint8_t mark, uint16_t buffers)
{
    struct virtio_header_and_frame {
        struct virtio_net_header header;
        uint8_t frame[];
    } * to;
    uint16_t head;
    struct virtio_descriptor *descriptor = device_next(&receive_queue.ring, &head);

    assert_int_equal(descriptor->flags, VIRTIO_DESCRIPTOR_WRITE);
    assert_true(VIRTIO_NET_HEADER_BYTES + length <= descriptor->length);
    to = (struct virtio_header_and_frame *)descriptor->address;
    to->header = (struct virtio_net_header){.buffer_count = buffers};
    memset(to->frame, mark, length);
    device_done(&receive_queue.ring, head, VIRTIO_NET_HEADER_BYTES + length);
}

static unsigned poll(void)
{
    unsigned count = virtio_net_poll(&nic.device, 0, NET_POLL_BUDGET);

    assert_int_equal(receive_queue.ring.in_flight, SIZE); /* as full as before */
    assert_int_equal(receive_queue.ring.available->index, receive_queue.ring.available_index);
    return count;
}

static void assert_received(unsigned index, uint32_t length, uint8_t mark)
{
    assert_true(index < received_count);
    assert_int_equal(received[index]->length, length);
    for (uint32_t i = 0; i < length; i++) {
        assert_int_equal(received[index]->data[i], mark);
    }
}

static void frames_of_all_sizes_arrive_whole_and_the_ring_stays_full(void **state)
{
    const uint32_t most = PACKET_BUFFER_BYTES - PACKET_HEADROOM;

    (void)state;
    for (uint32_t length = 0; length <= most; length += 31) {
        device_receives(length, (uint8_t)length, 1);
        device_receives(most - length, (uint8_t)~length, 1);
        assert_int_equal(poll(), 2);
        assert_received(0, length, (uint8_t)length);
        assert_received(1, most - length, (uint8_t)~length);
        free_received();
    }
    assert_null(failure);
}

static void frame_that_spans_buffers_is_counted_and_none_is_lost(void **state)
{
    (void)state;
    device_receives(100, 1, 1);
    device_receives(1000, 2, 3);
    device_receives(1000, 3, 0x4444); /* what follows has no header of its own */
    assert_int_equal(poll(), 3);
    device_receives(500, 4, 0); /* the third, in the next poll */
    device_receives(100, 5, 1);
    assert_int_equal(poll(), 2);
    assert_int_equal(received_count, 2);
    assert_received(0, 100, 1);
    assert_received(1, 100, 5);
    assert_int_equal(nic.pairs[0].frames_spanning, 1);
    assert_null(failure);
}

/* Without the feature the field is not the device's to write: it holds what was there before. */
static void number_of_buffers_counts_only_if_agreed_on(void **state)
{
    (void)state;
    nic.features = 0;
    device_receives(100, 1, 0);
    device_receives(100, 2, 9999);
    poll();
    assert_int_equal(received_count, 2);
    assert_null(failure);
}

static void header_that_cannot_be_is_a_failure_and_no_buffer_is_lost(void **state)
{
    struct virtio_net_header *header;
    uint16_t head;

    (void)state;
    device_receives(100, 1, 0);
    poll();
    assert_non_null(failure);
    failure = NULL;
    device_receives(100, 1, SIZE + 1);
    poll();
    assert_non_null(failure);
    failure = NULL;
    header = (struct virtio_net_header *)device_next(&receive_queue.ring, &head)->address;
    *header = (struct virtio_net_header){.buffer_count = 1};
    device_done(&receive_queue.ring, head, VIRTIO_NET_HEADER_BYTES - 1);
    poll();
    assert_non_null(failure);
    assert_int_equal(received_count, 0);
}

static void lying_ring_is_a_failure(void **state)
{
    (void)state;
    device_done(&receive_queue.ring, 999, 60);
    assert_int_equal(virtio_net_poll(&nic.device, 0, NET_POLL_BUDGET), 0);
    assert_non_null(failure);
}

static void without_fresh_buffers_frames_are_dropped_and_theirs_reused(void **state)
{
    struct packet *taken[PACKETS];
    unsigned count;

    (void)state;
    count = packet_allocate_many(nic.device.pool, taken, PACKETS - SIZE - 2); /* two are left */
    for (uint8_t i = 0; i < 5; i++) {
        device_receives(60, i, 1);
    }
    assert_int_equal(poll(), 5);
    assert_int_equal(received_count, 2);
    assert_received(1, 60, 1);
    assert_int_equal(nic.device.queues[0].counters.no_buffer, 3);
    packet_free_many(taken, count);
}

static void ring_that_was_short_of_buffers_fills_up(void **state)
{
    struct packet *taken[PACKETS];
    unsigned count;

    (void)state;
    virtio_net_empty(&nic.pairs[0]);
    end_queues();
    queue_make(&receive_queue, 0);
    queue_make(&transmit_queue, 1);
    count = packet_allocate_many(nic.device.pool, taken, PACKETS - 3);
    assert_int_equal(virtio_net_fill(&nic, 0), 3);
    packet_free_many(taken, count);
    device_receives(60, 1, 1);
    assert_int_equal(poll(), 1); /* which asks whether the ring is full */
    assert_received(0, 60, 1);
}

static bool send(struct packet *packet)
{
    return virtio_net_transmit(&nic.device, 0, packet);
}

static struct packet *make_frame(uint32_t length, uint8_t mark)
{
    struct packet *packet = packet_allocate(nic.device.pool);

    assert_non_null(packet);
    memset(packet_append(packet, length), mark, length);
    return packet;
}

/* Sends the next frame off the wire; it must be @length bytes of @mark behind an empty header. */
static void device_transmits(uint32_t length, uint8_t mark)
{
    static const uint8_t empty[VIRTIO_NET_HEADER_BYTES];
    uint16_t head;
    struct virtio_descriptor *descriptor = device_next(&transmit_queue.ring, &head);
    const uint8_t *bytes = (const uint8_t *)descriptor->address;

    assert_int_equal(descriptor->flags, 0);
    assert_int_equal(descriptor->length, VIRTIO_NET_HEADER_BYTES + length);
    assert_memory_equal(bytes, empty, sizeof(empty));
    for (uint32_t i = 0; i < length; i++) {
        assert_int_equal(bytes[VIRTIO_NET_HEADER_BYTES + i], mark);
    }
    device_done(&transmit_queue.ring, head, 0);
}

static void full_transmit_ring_rings_and_goes_on_when_frames_are_sent(void **state)
{
    struct packet *one_more;

    (void)state;
    for (uint8_t i = 0; i < SIZE; i++) {
        assert_true(send(make_frame(60, i)));
    }
    one_more = make_frame(60, 99);
    assert_int_equal(doorbells[1], 0xffff);
    assert_false(send(one_more));
    assert_int_equal(doorbells[1], 1); /* else the device would never look */
    device_transmits(60, 0);
    assert_true(send(one_more));
    assert_int_equal(virtio_net_transmit_reclaim(&nic.device, 0), SIZE);
    for (uint8_t i = 1; i < SIZE; i++) {
        device_transmits(60, i);
    }
    device_transmits(60, 99);
    assert_int_equal(virtio_net_transmit_reclaim(&nic.device, 0), 0);
    assert_null(failure);
}

static void poll_frees_what_was_sent(void **state)
{
    (void)state;
    assert_true(send(make_frame(1514, 7)));
    device_transmits(1514, 7);
    assert_int_equal(poll(), 0);
    assert_int_equal(transmit_queue.ring.in_flight, 0);
}

static void received_frame_is_sent_without_a_copy(void **state)
{
    uint8_t *data;

    (void)state;
    device_receives(300, 42, 1);
    poll();
    data = received[0]->data;
    received_count = 0;
    assert_true(send(received[0]));
    assert_ptr_equal(received[0]->data, data);
    device_transmits(300, 42);
}

static void frame_without_room_in_front_is_moved(void **state)
{
    struct packet *packet;

    (void)state;
    for (uint32_t room = 0; room <= 3 * VIRTIO_NET_HEADER_BYTES; room++) {
        packet = packet_allocate(nic.device.pool);
        packet->data = packet->buffer + room;
        memset(packet_append(packet, FRAME_BYTES_MAX), (int)room, FRAME_BYTES_MAX);
        assert_true(send(packet));
        device_transmits(FRAME_BYTES_MAX, (uint8_t)room);
        virtio_net_transmit_reclaim(&nic.device, 0);
    }
    assert_int_equal(nic.pairs[0].moved, VIRTIO_NET_HEADER_BYTES);
}

static void frames_of_several_pools_go_home(void **state)
{
    struct packet_pool *other = fake_pool_make(3);

    (void)state;
    for (uint8_t i = 0; i < 6; i++) {
        struct packet *packet = packet_allocate(i % 2 != 0 ? other : nic.device.pool);

        memset(packet_append(packet, 60), i, 60);
        assert_true(send(packet));
        device_transmits(60, i);
    }
    assert_int_equal(virtio_net_transmit_reclaim(&nic.device, 0), 0);
    fake_pool_end(other);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, start, end)

static const struct CMUnitTest tests[] = {
    CASE(frames_of_all_sizes_arrive_whole_and_the_ring_stays_full),
    CASE(frame_that_spans_buffers_is_counted_and_none_is_lost),
    CASE(number_of_buffers_counts_only_if_agreed_on),
    CASE(header_that_cannot_be_is_a_failure_and_no_buffer_is_lost),
    CASE(lying_ring_is_a_failure),
    CASE(without_fresh_buffers_frames_are_dropped_and_theirs_reused),
    CASE(ring_that_was_short_of_buffers_fills_up),
    CASE(full_transmit_ring_rings_and_goes_on_when_frames_are_sent),
    CASE(poll_frees_what_was_sent),
    CASE(received_frame_is_sent_without_a_copy),
    CASE(frame_without_room_in_front_is_moved),
    CASE(frames_of_several_pools_go_home),
};

HOST_TEST_MAIN(tests, NULL)
