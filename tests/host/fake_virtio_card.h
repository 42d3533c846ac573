// SPDX-License-Identifier: MIT
/* A virtio-net card on a fake PCI bus, written from the specification ("Virtio Over PCI Bus",
 * "Network Device", 1.1), that a test may make lie: its fields are what it says. Invariant: honest
 * unless a test changes them; it counts each access outside of the structures that its capabilities
 * name, or while it decodes nothing. Used by drivers_virtio_pci_*.c. */
#pragma once

#include "tests/host/fake_pci.h"

#include <stdbool.h>
#include <stdint.h>

#define CARD_QUEUES   9 /* 4 pairs and the control queue */
#define CARD_BAR      4
#define CARD_ADDRESS  0xfe000000u
#define CARD_BYTES    0x4000u
#define CARD_COMMON   0x0000u /* offsets in the BAR */
#define CARD_ISR      0x1000u
#define CARD_CONFIG   0x2000u
#define CARD_DOORBELL 0x3000u

/* Where the capabilities stand. */
#define CAP_COMMON   0x40u
#define CAP_NOTIFY   0x50u
#define CAP_ISR      0x64u
#define CAP_CONFIG   0x74u
#define CAP_TYPE     3u
#define CAP_BAR      4u
#define CAP_OFFSET   8u
#define CAP_LENGTH   12u
#define CAP_MULTIPLE 16u

#define FEATURE_MAC       (1ull << 5)
#define FEATURE_CONTROL   (1ull << 17)
#define FEATURE_PAIRS     (1ull << 22)
#define FEATURE_VERSION_1 (1ull << 32)

#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 64u
#define STATUS_FAILED      128u

struct card_queue {
    uint16_t size, vector, enabled, doorbell;
    uint64_t descriptors, available, used;
    uint16_t offered_size;
};

struct fake_virtio_card {
    struct fake_function *function;
    /* what it says: */
    uint64_t offered, accepted;
    uint8_t status, generation, interrupts;
    uint16_t config_vector, queue_count, max_pairs, link;
    struct card_queue queues[CARD_QUEUES];
    uint8_t answer; /* to the control queue's requests */
    /* how it lies: */
    bool reset_hangs, resets_slowly, refuses_features, refuses_vectors, refuses_config_vector;
    bool keeps_sizes, is_restless, control_is_silent;
    /* what it has seen: */
    unsigned resets, requests;
    unsigned strays; /* accesses outside of all structures, or that it does not decode */
};

extern struct fake_virtio_card card;

/* Puts an honest card into an empty machine. / Takes it out. */
void fake_virtio_card_start(void);
void fake_virtio_card_end(void);

/* Whether it may still write to memory: has a queue and the bus. */
bool fake_virtio_card_is_bus_master(void);
bool fake_virtio_card_uses(uint64_t physical, uint64_t bytes);
