// SPDX-License-Identifier: MIT
/* Intel 82540EM ("PCI/PCI-X Family of Gigabit Ethernet Controllers Software Developer's Manual"):
 * one queue, one interrupt. Invariant: reading ICR clears it, so whoever reads it does what it
 * says. Called by pci_attach_drivers() and as a net_device. */
#include "drivers/e1000_card.h"
#include "drivers/nics.h"

#include <stddef.h>

#define INTEL          0x8086
#define DEVICE_82540EM 0x100e

#define RECEIVE_CAUSES (E1000_CAUSE_RECEIVED | E1000_CAUSE_RECEIVE_LOW | E1000_CAUSE_OVERRUN)

static bool handle_interrupt(void *argument)
{
    struct e1000_card *card = argument;

    return e1000_is_touchable(card) && e1000_causes_handle(card, e1000_read(card, E1000_ICR));
}

/* Causes of frames that were polled would interrupt at once for nothing: they are read away first,
 * and a link change among them is looked at. A frame whose cause is read away is in the ring before
 * the read ends ("Transaction Ordering", PCI Local Bus 3.0), and is found by the look; one that
 * comes later interrupts, for what is pending when IMS is set interrupts then. */
static bool interrupt_on(struct net_device *device, unsigned queue)
{
    struct e1000_card *card = e1000_card_of(device);

    if (card->interrupt_kind != PCI_INTERRUPT_NONE) {
        if ((e1000_read(card, E1000_ICR) & card->link_causes) != 0) {
            e1000_link_update(card);
        }
        e1000_write(card, E1000_IMS, card->receive_causes[queue]);
        /* Pairs with the device: it writes the descriptor, then looks at IMS. Without it the ring
         * could be read before IMS is set: a frame in between would not be seen by either. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return e1000_receive_ring_has_more(&card->queues[queue].receive);
}

static void configure(struct e1000_card *card)
{
    e1000_write(card, E1000_TIPG, E1000_TIPG_COPPER);
    e1000_write(card, E1000_RXCSUM, 0);
}

static const struct net_device_operations operations = {
    .driver = "e1000",
    .poll = e1000_poll,
    .interrupt_on = interrupt_on,
    .interrupt_off = e1000_interrupt_off,
    .transmit = e1000_transmit,
    .transmit_start = e1000_transmit_start,
    .transmit_reclaim = e1000_transmit_reclaim,
    .transmit_ring_count = e1000_transmit_count,
    .receive_ring_count = e1000_receive_count,
    .reset = e1000_reset,
    .device_counters = e1000_counters,
};

static const struct e1000_model model = {
    .operations = &operations,
    .format = &e1000_format_legacy,
    .eeprom_done = 1u << 4,
    .eeprom_address_shift = 8,
    .has_master_disable = false,
    .configure = configure,
};

static bool attach(struct pci_device *pci)
{
    unsigned vectors;
    enum pci_interrupt_kind kind = pci_interrupts_choose(pci, 1, &vectors);
    struct e1000_card *card = e1000_card_create(pci, &model, 1, kind);

    if (card == NULL) {
        return false;
    }
    card->receive_causes[0] = RECEIVE_CAUSES;
    card->link_causes = E1000_CAUSE_LINK;
    if (vectors > 0 &&
        !pci_interrupt_route(pci, 0, card->net.queues[0].cpu, handle_interrupt, card)) {
        e1000_card_use_clock(card);
    }
    return e1000_card_start(card);
}

static const struct pci_id ids[] = {{INTEL, DEVICE_82540EM}, {0, 0}};

const struct pci_driver e1000_driver = {.name = "e1000", .ids = ids, .attach = attach};
