// SPDX-License-Identifier: MIT
/* A network card for net/ as a Linux program: frames go in by a call, what is sent is kept.
 * Invariant: a packet that is sent is back in its pool at once, so that a pool that is not full
 * afterwards has a leak, or somebody holds a packet on purpose. Used by: net_*.c,
 * tests/fuzz/fuzz_packet.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/counters.h"
#include "net/net_device.h"

#define NET_FAKE_PACKETS  32
#define NET_FAKE_SENT_MAX 64

struct net_fake_frame {
    uint8_t bytes[PACKET_BUFFER_BYTES];
    uint32_t length;
    const struct net_device *device;
    unsigned queue;
};

/* What was sent, oldest first; more than NET_FAKE_SENT_MAX are counted only. */
extern struct net_fake_frame net_fake_sent[NET_FAKE_SENT_MAX];
extern unsigned net_fake_sent_count;

/* Whether the transmit rings are full. */
extern bool net_fake_ring_is_full;

/* Registers card @index with this address (0: none) and mask; its link is up. */
struct net_device *net_fake_device_add(unsigned index, uint32_t address, uint32_t mask);
void net_fake_device_remove(struct net_device *device);

/* Gives a frame to net_receive(). Bytes behind the frame are @behind; under the address sanitizer
 * nobody may touch those further away than the longest answer to a short frame. Returns false if
 * the pool is empty. */
bool net_fake_receive(struct net_device *device, const uint8_t *bytes, uint32_t length,
                      uint8_t behind);

/* Packets that are not in the pool of @device. */
unsigned net_fake_held(struct net_device *device);
