// SPDX-License-Identifier: MIT
/* What the drivers of the e1000 and the e1000e share: a card with its registers, rings and
 * counters, and what both do with them. Invariant: all the device is told is written here or in the
 * model's configure(), from stopped to running, so a reset is the same as a start. Callers:
 * e1000.c, e1000e.c. */
#pragma once

#include "drivers/e1000_registers.h"
#include "drivers/e1000_ring.h"
#include "drivers/pci.h"
#include "kernel/spinlock.h"
#include "net/net_device.h"

#include <stdbool.h>
#include <stdint.h>

#define E1000_QUEUES_MAX     2
#define E1000_RECEIVE_SLOTS  256
#define E1000_TRANSMIT_SLOTS 256
/* Packets a queue beyond those that fill its rings: for sockets, and for frames on their way. */
#define E1000_PACKETS_BEYOND 1024
#define E1000_COUNTERS_MAX   16

/* Receive interrupts are at least this far apart. It is what QEMU makes of any smaller value, and
 * what the manuals call the hardware's limit (7813 a second, "Interrupt Throttling"). An idle
 * card's first interrupt comes at once, so a ping does not wait; and under load more would gain
 * nothing, because there the interrupt stays off and the poll thread runs. */
#define E1000_RECEIVE_INTERVAL_NS 128000

struct e1000_card;

/* What differs. */
struct e1000_model {
    const struct net_device_operations *operations;
    const struct e1000_receive_format *format;
    /* "EEPROM Read Register": */
    uint32_t eeprom_done;
    uint8_t eeprom_address_shift;
    bool has_master_disable;
    /* Writes what only this model has. Context: the card is stopped, its queues are chosen. */
    void (*configure)(struct e1000_card *card);
};

struct e1000_queue {
    struct e1000_card *card;
    unsigned index;
    struct e1000_receive_ring receive;
    struct e1000_transmit_ring transmit;
};

struct e1000_card {
    struct net_device net;

    /* written once: */
    const struct e1000_model *model;
    struct pci_device *pci;
    volatile uint32_t *registers;
    enum pci_interrupt_kind interrupt_kind;
    uint32_t receive_causes[E1000_QUEUES_MAX]; /* in ICR, IMS and IMC */
    uint32_t link_causes;
    struct e1000_queue queues[E1000_QUEUES_MAX];

    bool is_resetting; /* atomic: interrupt handlers leave the registers alone */

    struct spinlock totals_lock;
    uint64_t totals[E1000_COUNTERS_MAX]; /* under totals_lock: reading clears the registers */
};

static inline uint32_t e1000_read(const struct e1000_card *card, uint32_t offset)
{
    return card->registers[offset / sizeof(uint32_t)];
}

/* Release: pairs with the device, which reads descriptors and frames once it has seen a new tail;
 * without it, it could read what stood there before. */
static inline void e1000_write(struct e1000_card *card, uint32_t offset, uint32_t value)
{
    __atomic_store_n(&card->registers[offset / sizeof(uint32_t)], value, __ATOMIC_RELEASE);
}

/* Whether an interrupt handler may touch the registers: each asks, once. */
static inline bool e1000_is_touchable(const struct e1000_card *card)
{
    return !__atomic_load_n(&card->is_resetting, __ATOMIC_ACQUIRE); /* partner: e1000_reset() */
}

static inline struct e1000_card *e1000_card_of(struct net_device *device)
{
    return device->driver_data;
}

/* Finds registers and address of a card, stops it, and makes what it needs for @queues queues;
 * then interrupts are to be routed and e1000_card_start() called. Returns NULL, having said why and
 * kept nothing, if that does not work. @kind, @receive_causes: see struct e1000_card. Context:
 * first thread. */
struct e1000_card *e1000_card_create(struct pci_device *pci, const struct e1000_model *model,
                                     unsigned queues, enum pci_interrupt_kind kind);

/* Gives back everything of a card that is not registered. */
void e1000_card_destroy(struct e1000_card *card);

/* There is no interrupt that can be had: the card is polled by the clock. */
void e1000_card_use_clock(struct e1000_card *card);

/* Starts a card and registers it. Returns false, having said why and destroyed it, if that fails.
 */
bool e1000_card_start(struct e1000_card *card);

/* Learns whether the link is up. Context: any but NMI. */
void e1000_link_update(struct e1000_card *card);

/* Stops interrupts and transfers and resets the device. Returns false, having said why, if it does
 * not come back: then it may still transfer. Context: thread. */
bool e1000_device_stop(struct e1000_card *card);

/* Fills the receive rings, writes every register that matters and lets the device transfer; the
 * queues' interrupts stay off. Returns false, having said why, if the pool is short. Context: the
 * device is stopped, its rings are empty. */
bool e1000_device_start(struct e1000_card *card);

/* Frees the packets of all rings. Context: the device is stopped. */
void e1000_rings_empty(struct e1000_card *card);

/* Lets the link's changes interrupt, and looks at what has been before. */
void e1000_link_watch(struct e1000_card *card);

/* Finds the card's address: what the device has loaded from its EEPROM, else what stands there.
 * Returns false, having said why, if neither is one. */
bool e1000_mac_find(struct e1000_card *card);

/* For the interrupt handlers: what @causes ask for, those of other queues and others' ignored.
 * Returns whether there was anything. Context: interrupt. */
bool e1000_causes_handle(struct e1000_card *card, uint32_t causes);

/* Parts of net_device_operations that are the same. */
unsigned e1000_poll(struct net_device *device, unsigned queue, unsigned budget);
void e1000_interrupt_off(struct net_device *device, unsigned queue);
bool e1000_transmit(struct net_device *device, unsigned queue, struct packet *packet);
void e1000_transmit_start(struct net_device *device, unsigned queue);
unsigned e1000_transmit_reclaim(struct net_device *device, unsigned queue);
unsigned e1000_transmit_count(struct net_device *device, unsigned queue);
unsigned e1000_receive_count(struct net_device *device, unsigned queue);
bool e1000_reset(struct net_device *device);
void e1000_counters(struct net_device *device,
                    void (*show)(void *argument, const char *name, uint64_t value), void *argument);
