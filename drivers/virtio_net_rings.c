// SPDX-License-Identifier: MIT
/* virtio-net's rings: receiving, sending, and getting back what was sent.
 *
 * Invariant: a receive ring never has fewer buffers after a poll than before it: a frame is handed
 * on only if a fresh buffer takes its place. All that a poll takes is replaced by one store of the
 * index and at most one doorbell. Sent frames raise no interrupts: they are freed when the ring is
 * half full, and at each poll.
 *
 * Called by net/ through struct net_device_operations, and by virtio_net.c. */
#include "drivers/virtio_net.h"

#include "kernel/string.h"
#include "net/receive.h"

#define TAKE_MAX NET_POLL_BUDGET

static const struct virtio_net_header no_offloads; /* in front of what we send */

/* Of a packet of the receive ring, whose frame begins where packet_allocate() put it. */
static const struct virtio_net_header *frame_header(const struct packet *packet)
{
    return (const struct virtio_net_header *)(packet->data - VIRTIO_NET_HEADER_BYTES);
}

/* Room for the header in front and for a frame behind it. */
static void receive_add(struct virtio_queue *ring, struct packet *packet)
{
    virtio_queue_add(ring, packet_physical(packet) - VIRTIO_NET_HEADER_BYTES,
                     VIRTIO_NET_HEADER_BYTES + PACKET_BUFFER_BYTES - PACKET_HEADROOM,
                     VIRTIO_DEVICE_WRITES, packet);
}

unsigned virtio_net_fill(struct virtio_net *nic, unsigned pair)
{
    struct virtio_queue *ring = &nic->pairs[pair].receive->ring;
    struct packet *packet;

    while (ring->free_count > 0 && (packet = packet_allocate(nic->device.pool)) != NULL) {
        receive_add(ring, packet);
    }
    virtio_queue_publish(ring);
    return ring->in_flight;
}

/* Whether a used buffer holds one whole frame. A frame that spans several (the device was offered
 * no feature that needs it, but may merge what is longer than a buffer) is not put together: its
 * first buffer says how many follow. */
static bool is_whole_frame(struct virtio_net *nic, struct virtio_net_pair *pair,
                           const struct virtio_taken *taken)
{
    uint16_t buffer_count = 1;

    if (pair->to_skip > 0) {
        pair->to_skip--;
        return false;
    }
    if (taken->length < VIRTIO_NET_HEADER_BYTES) {
        net_device_fail(&nic->device, "received a frame that is shorter than its header");
        return false;
    }
    if ((nic->features & VIRTIO_NET_FEATURE_MERGED) != 0) {
        buffer_count = __atomic_load_n(&frame_header(taken->token)->buffer_count, __ATOMIC_RELAXED);
    }
    if (buffer_count == 0 || buffer_count > pair->receive->ring.size) {
        net_device_fail(&nic->device, "received a frame of an impossible number of buffers");
        return false;
    }
    if (buffer_count > 1) {
        pair->to_skip = buffer_count - 1u;
        pair->frames_spanning++;
    }
    return buffer_count == 1;
}

/* Puts a buffer into the ring for each of @count that came out of it: a fresh one where the frame
 * is handed on, else the same again. Leaves the frames in @frames, returns their number. */
static unsigned receive_replace(struct virtio_net *nic, unsigned queue,
                                const struct virtio_taken *taken, unsigned count,
                                struct packet **frames)
{
    struct virtio_net_pair *pair = &nic->pairs[queue];
    struct virtio_queue *ring = &pair->receive->ring;
    struct packet *fresh[TAKE_MAX];
    unsigned fresh_count = packet_allocate_many(nic->device.pool, fresh, count);
    unsigned frame_count = 0;

    for (unsigned i = 0; i < count; i++) {
        struct packet *packet = taken[i].token;

        if (!is_whole_frame(nic, pair, &taken[i])) {
            receive_add(ring, packet);
        } else if (frame_count == fresh_count) {
            nic->device.queues[queue].counters.no_buffer++;
            receive_add(ring, packet);
        } else {
            receive_add(ring, fresh[frame_count]);
            packet->length = taken[i].length - VIRTIO_NET_HEADER_BYTES;
            packet->queue = (uint16_t)queue;
            packet->device = &nic->device;
            frames[frame_count++] = packet;
        }
    }
    virtio_queue_publish(ring);
    packet_free_many(fresh + frame_count, fresh_count - frame_count);
    return frame_count;
}

static void receive_frames(struct virtio_net *nic, unsigned queue, const struct virtio_taken *taken,
                           unsigned count)
{
    struct virtio_net_pair *pair = &nic->pairs[queue];
    struct packet *frames[TAKE_MAX];
    unsigned frame_count = receive_replace(nic, queue, taken, count, frames);

    if (pair->receive->ring.free_count > 0) { /* packets were short when the ring was filled */
        virtio_net_fill(nic, queue);
    }
    if (virtio_pci_queue_notify(pair->receive)) {
        pair->receive_doorbells++;
    }
    for (unsigned i = 0; i < frame_count; i++) {
        net_receive(frames[i]);
    }
}

/* A queue in which the device wrote what cannot be ends the device's life until it is reset. */
static void check_ring(struct virtio_net *nic, const struct virtio_queue *ring)
{
    if (ring->broken != NULL) {
        net_device_fail(&nic->device, ring->broken);
    }
}

/* Frames come from several pools when one device's frames go out of another. */
static void free_taken(const struct virtio_taken *taken, unsigned count)
{
    struct packet *packets[TAKE_MAX];
    unsigned gathered = 0;

    for (unsigned i = 0; i < count; i++) {
        packets[gathered] = taken[i].token;
        if (packets[gathered]->pool != packets[0]->pool) {
            struct packet *other = packets[gathered];

            packet_free_many(packets, gathered);
            packets[0] = other;
            gathered = 0;
        }
        gathered++;
    }
    packet_free_many(packets, gathered);
}

static void reclaim(struct virtio_net *nic, struct virtio_queue *ring)
{
    struct virtio_taken taken[TAKE_MAX];
    unsigned count;

    do {
        count = virtio_queue_take(ring, taken, TAKE_MAX);
        free_taken(taken, count);
    } while (count == TAKE_MAX);
    virtio_queue_interrupt_off(ring); /* the wish wears off */
    check_ring(nic, ring);
}

unsigned virtio_net_transmit_reclaim(struct net_device *device, unsigned queue)
{
    struct virtio_net *nic = virtio_net_of(device);
    struct virtio_queue *ring = &nic->pairs[queue].transmit->ring;

    reclaim(nic, ring);
    return ring->in_flight;
}

unsigned virtio_net_poll(struct net_device *device, unsigned queue, unsigned budget)
{
    struct virtio_net *nic = virtio_net_of(device);
    struct virtio_net_pair *pair = &nic->pairs[queue];
    struct virtio_queue *ring = &pair->receive->ring;
    struct virtio_taken taken[TAKE_MAX];
    unsigned count = virtio_queue_take(ring, taken, budget < TAKE_MAX ? budget : TAKE_MAX);

    if (count > 0) {
        receive_frames(nic, queue, taken, count);
        virtio_queue_interrupt_off(ring); /* the wish wears off */
    }
    check_ring(nic, ring);
    if (virtio_queue_has_arrived(&pair->transmit->ring)) {
        uint64_t flags = spinlock_lock_save(&device->queues[queue].transmit_lock);

        reclaim(nic, &pair->transmit->ring);
        spinlock_unlock_restore(&device->queues[queue].transmit_lock, flags);
    }
    return count;
}

bool virtio_net_interrupt_on(struct net_device *device, unsigned queue)
{
    return virtio_queue_interrupt_on(&virtio_net_of(device)->pairs[queue].receive->ring);
}

void virtio_net_interrupt_off(struct net_device *device, unsigned queue)
{
    virtio_queue_interrupt_off(&virtio_net_of(device)->pairs[queue].receive->ring);
}

/* A frame that begins where the header should be moves back in its buffer. */
static void make_headroom(struct virtio_net_pair *pair, struct packet *packet)
{
    if (packet_headroom(packet) < VIRTIO_NET_HEADER_BYTES) {
        memmove(packet->buffer + PACKET_HEADROOM, packet->data, packet->length);
        packet->data = packet->buffer + PACKET_HEADROOM;
        pair->moved++;
    }
}

void virtio_net_transmit_start(struct net_device *device, unsigned queue)
{
    struct virtio_net_pair *pair = &virtio_net_of(device)->pairs[queue];

    if (virtio_pci_queue_notify(pair->transmit)) {
        pair->transmit_doorbells++;
    }
}

bool virtio_net_transmit(struct net_device *device, unsigned queue, struct packet *packet)
{
    struct virtio_net *nic = virtio_net_of(device);
    struct virtio_net_pair *pair = &nic->pairs[queue];
    struct virtio_queue *ring = &pair->transmit->ring;

    if (ring->free_count <= ring->size / 2) {
        reclaim(nic, ring);
    }
    if (ring->free_count == 0) {
        virtio_net_transmit_start(device, queue); /* so that there will be room */
        return false;
    }
    make_headroom(pair, packet);
    /* The frame, and so its header, may begin at any address; inlined, unlike memcpy(). */
    __builtin_memcpy(packet->data - VIRTIO_NET_HEADER_BYTES, &no_offloads, sizeof(no_offloads));
    virtio_queue_add(ring, packet_physical(packet) - VIRTIO_NET_HEADER_BYTES,
                     VIRTIO_NET_HEADER_BYTES + packet->length, VIRTIO_DEVICE_READS, packet);
    /* At once, and not with the doorbell: a device that is at work on earlier frames goes on with
     * this one, and needs no doorbell then. */
    virtio_queue_publish(ring);
    return true;
}

unsigned virtio_net_transmit_ring_count(struct net_device *device, unsigned queue)
{
    return virtio_net_of(device)->pairs[queue].transmit->ring.in_flight;
}

unsigned virtio_net_receive_ring_count(struct net_device *device, unsigned queue)
{
    return virtio_net_of(device)->pairs[queue].receive->ring.in_flight;
}

static void empty_ring(struct virtio_pci_queue *queue)
{
    struct packet *packet;

    while (queue != NULL && (packet = virtio_queue_detach(&queue->ring)) != NULL) {
        packet_free(packet);
    }
}

void virtio_net_empty(struct virtio_net_pair *pair)
{
    empty_ring(pair->receive);
    empty_ring(pair->transmit);
    pair->to_skip = 0;
}
