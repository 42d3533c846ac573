// SPDX-License-Identifier: MIT
/* A virtio device on PCI ("Virtio Over PCI Bus", Virtual I/O Device specification 1.1, section
 * 4.1), through its modern registers: those of transitional devices too, whose legacy ones are left
 * alone. Knows nothing of what the device is for.
 *
 * Invariant: no register outside the ranges that the device's own capabilities and BARs give is
 * touched; every wait for the device is bounded; whatever it refuses is named in the log.
 *
 *     virtio_pci_open(&transport, pci)           finds the registers
 *     virtio_pci_begin(&transport, wanted)       reset, features
 *     virtio_pci_queue_start(...)                each queue
 *     virtio_pci_set_running(&transport)         from now on it uses them
 *     virtio_pci_give_up(&transport)             on whatever goes wrong: FAILED
 *
 * Context: thread, but where said otherwise; one caller at a time. Callers: virtio_net*.c. */
#pragma once

#include "drivers/pci.h"
#include "drivers/virtio_queue.h"

#include <stdbool.h>
#include <stdint.h>

#define VIRTIO_PCI_VENDOR 0x1af4

/* Features of every device ("Reserved Feature Bits"). */
#define VIRTIO_FEATURE_EVENT_INDEX (1ull << 29)
#define VIRTIO_FEATURE_VERSION_1   (1ull << 32)

#define VIRTIO_NO_VECTOR 0xffff

/* Bits of virtio_pci_read_interrupts(). */
#define VIRTIO_INTERRUPT_QUEUE  1u
#define VIRTIO_INTERRUPT_CONFIG 2u

struct virtio_pci_common; /* virtio_pci.c */

struct virtio_pci {
    struct pci_device *pci;
    /* written once, by virtio_pci_open(): */
    volatile struct virtio_pci_common *common;
    volatile uint8_t *interrupt_status;
    volatile uint8_t *config; /* the device's own registers; NULL: it has none */
    uint32_t config_bytes;
    volatile uint8_t *doorbells;
    uint32_t doorbell_bytes;
    uint32_t doorbell_multiplier;
    /* by virtio_pci_begin(): */
    uint64_t features; /* negotiated */
};

/* A queue, where its memory is, and where its doorbell is. */
struct virtio_pci_queue {
    struct virtio_queue ring;
    volatile uint16_t *doorbell;
    uint16_t index;
    void *memory; /* VIRTIO_QUEUE_MEMORY_BYTES */
};

/* Finds and maps the registers. Returns false, having said why, if there are none (a device that is
 * legacy only) or they do not lie in their BARs. */
bool virtio_pci_open(struct virtio_pci *transport, struct pci_device *pci);

/* Resets the device, and agrees on features: those of @wanted that it offers, VERSION_1 in any
 * case. Returns false, having said why, if it does not come out of its reset or refuses. */
bool virtio_pci_begin(struct virtio_pci *transport, uint64_t wanted);

/* Resets the device: on return it has forgotten its queues, and writes to no memory. Returns false,
 * having said so, if it does not within a second. */
bool virtio_pci_reset(struct virtio_pci *transport);

/* Allocates a queue of our largest size. Returns NULL without memory. / Frees it; NULL is allowed;
 * the device has forgotten it. */
struct virtio_pci_queue *virtio_pci_queue_create(void);
void virtio_pci_queue_destroy(struct virtio_pci_queue *queue);

/* Lays queue @index out anew, tells the device of it, and of the MSI-X vector for its interrupts
 * (VIRTIO_NO_VECTOR: none of its own). Returns false, having said why, if the device has no such
 * queue, offers one of an impossible size, or refuses the vector. */
bool virtio_pci_queue_start(struct virtio_pci *transport, struct virtio_pci_queue *queue,
                            uint16_t index, uint16_t vector);

/* Queues that the device has. */
uint16_t virtio_pci_queue_count(const struct virtio_pci *transport);

/* The MSI-X vector for changes of the configuration. Returns false, having said so, if refused. */
bool virtio_pci_set_config_vector(struct virtio_pci *transport, uint16_t vector);

/* DRIVER_OK: the device may use its queues. / FAILED, then no bus master any more. */
void virtio_pci_set_running(struct virtio_pci *transport);
void virtio_pci_give_up(struct virtio_pci *transport);

/* Whether the device says that it is in an error only a reset ends. Context: any but NMI. */
bool virtio_pci_needs_reset(const struct virtio_pci *transport);

/* Reads the device's own registers: @count of one byte, all from one generation of them, or one of
 * two bytes. The caller has compared the end with config_bytes. Returns false, having said so, if
 * they change all the time. Context: any but NMI. */
bool virtio_pci_read_config_bytes(const struct virtio_pci *transport, uint32_t offset, uint8_t *to,
                                  uint32_t count);
uint16_t virtio_pci_read_config16(const struct virtio_pci *transport, uint32_t offset);

/* Reads, and by that clears, what the device has interrupted for: VIRTIO_INTERRUPT_*, 0: it has
 * not. Not with MSI-X. Context: interrupt handler. */
uint8_t virtio_pci_read_interrupts(const struct virtio_pci *transport);

/* Rings the queue's doorbell if the device wants to know of what was published. Returns whether it
 * did. Context: the queue's caller. */
static inline bool virtio_pci_queue_notify(struct virtio_pci_queue *queue)
{
    if (!virtio_queue_should_notify(&queue->ring)) {
        return false;
    }
    *queue->doorbell = queue->index;
    return true;
}
