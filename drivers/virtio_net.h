// SPDX-License-Identifier: MIT
/* The inside of the virtio-net driver ("Network Device", Virtual I/O Device specification 1.1,
 * section 5.1), shared by virtio_net*.c and nobody else.
 *
 * Invariant: a packet of this device is in a ring (its token), with whoever net_receive() gave it
 * to, or in the pool; the device writes only to packets of its receive rings. The device's header
 * lies in the headroom, right in front of the frame: one descriptor a frame, nothing copied. */
#pragma once

#include "drivers/virtio_pci.h"
#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

/* "Feature bits". */
#define VIRTIO_NET_FEATURE_MAC     (1ull << 5)
#define VIRTIO_NET_FEATURE_MERGED  (1ull << 15) /* frames may span buffers */
#define VIRTIO_NET_FEATURE_STATUS  (1ull << 16)
#define VIRTIO_NET_FEATURE_CONTROL (1ull << 17)
#define VIRTIO_NET_FEATURE_PAIRS   (1ull << 22)

/* "Device Operation": in front of each frame. We ask for no offloads, so all but the last is 0. */
struct virtio_net_header {
    uint8_t flags;
    uint8_t segmentation;
    uint16_t header_length;
    uint16_t segment_length;
    uint16_t checksum_start;
    uint16_t checksum_offset;
    uint16_t buffer_count; /* of this frame; only with VIRTIO_NET_FEATURE_MERGED */
};
#define VIRTIO_NET_HEADER_BYTES 12u
_Static_assert(sizeof(struct virtio_net_header) == VIRTIO_NET_HEADER_BYTES, "VERSION_1's header");
_Static_assert(PACKET_HEADROOM >= VIRTIO_NET_HEADER_BYTES, "the header lies in the headroom");

struct virtio_net_pair {
    struct virtio_pci_queue *receive;  /* by the poll thread */
    struct virtio_pci_queue *transmit; /* under the queue's transmit_lock */
    /* by the poll thread: */
    unsigned to_skip; /* buffers still to come of a frame that spans several */
    uint64_t frames_spanning;
    uint64_t receive_doorbells;
    /* under transmit_lock: */
    uint64_t transmit_doorbells;
    uint64_t moved; /* frames that had no room in front for the header */
};

/* What is sent through the control queue. */
struct virtio_net_request {
    uint8_t class;
    uint8_t command;
    uint16_t value;
    uint8_t answer; /* by the device */
};

/* The argument of an MSI-X vector's handler. */
struct virtio_net_vector {
    struct virtio_net *nic;
    unsigned index;
};

struct virtio_net {
    struct net_device device;
    struct virtio_pci transport;
    /* written once, before the device is registered: */
    uint64_t features;                /* agreed on at first; the same after each reset */
    uint16_t control_index;           /* of the control queue */
    struct virtio_pci_queue *control; /* NULL: no need */
    enum pci_interrupt_kind interrupt_kind;
    unsigned vector_count;
    struct virtio_net_vector vectors[NET_QUEUE_MAX + 1];
    /* atomic: */
    bool is_running;                   /* interrupts are passed on */
    bool is_off;                       /* it decodes nothing: handlers leave it alone */
    struct virtio_net_request request; /* by whoever attaches or resets */
    struct virtio_net_pair pairs[NET_QUEUE_MAX];
};

static inline struct virtio_net *virtio_net_of(struct net_device *device)
{
    return device->driver_data;
}

/* virtio_net_rings.c: the operations of net_device.h on the rings. */
unsigned virtio_net_poll(struct net_device *device, unsigned queue, unsigned budget);
bool virtio_net_interrupt_on(struct net_device *device, unsigned queue);
void virtio_net_interrupt_off(struct net_device *device, unsigned queue);
bool virtio_net_transmit(struct net_device *device, unsigned queue, struct packet *packet);
void virtio_net_transmit_start(struct net_device *device, unsigned queue);
unsigned virtio_net_transmit_reclaim(struct net_device *device, unsigned queue);
unsigned virtio_net_transmit_ring_count(struct net_device *device, unsigned queue);
unsigned virtio_net_receive_ring_count(struct net_device *device, unsigned queue);

/* Gives the receive ring of a pair buffers; the doorbell is not rung. Returns how many it has.
 * Context: thread, the queue is not polled. */
unsigned virtio_net_fill(struct virtio_net *nic, unsigned pair);

/* Frees all packets that the rings of a pair hold, if there are rings. The device has been reset.
 */
void virtio_net_empty(struct virtio_net_pair *pair);

/* virtio_net_interrupts.c: chooses the kind and number of interrupts for the pairs that the device
 * has, and routes them. Returns false, having said why. Context: thread, once a device. */
bool virtio_net_interrupts_route(struct virtio_net *nic);

/* The MSI-X vectors to tell the device; VIRTIO_NO_VECTOR without MSI-X. */
uint16_t virtio_net_queue_vector(const struct virtio_net *nic, unsigned pair);
uint16_t virtio_net_config_vector(const struct virtio_net *nic);

/* Reads the link's state and passes it on. Context: any but NMI. */
void virtio_net_link_update(struct virtio_net *nic);

/* virtio_net_control.c: tells the device how many pairs it may use. Returns false, having said why,
 * if it refuses or does not answer within a second. Context: thread. */
bool virtio_net_control_set_pairs(struct virtio_net *nic, unsigned pairs);
