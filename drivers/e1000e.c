// SPDX-License-Identifier: MIT
/* Intel 82574L ("Intel 82574 GbE Controller Family Datasheet"): two queue pairs, to which it
 * spreads frames by a hash of their IPv4 addresses (no ports with UDP: "RSS Hash Function"), and an
 * interrupt for each of them and for the link, if MSI-X has three vectors; with two one queue, with
 * one the clock; without MSI-X one queue and one interrupt.
 * Invariant: what an interrupt announced is cleared in ICR before it is looked at: reading does not
 * clear it here. Called by pci_attach_drivers() and as a net_device. */
#include "arch/percpu.h"
#include "drivers/e1000_card.h"
#include "drivers/nics.h"

#include <stddef.h>

#define INTEL         0x8086
#define DEVICE_82574L 0x10d3

#define RECEIVE_CAUSES (E1000_CAUSE_RECEIVED | E1000_CAUSE_RECEIVE_LOW | E1000_CAUSE_OVERRUN)
#define QUEUE_CAUSES   (E1000_CAUSE_QUEUE(0) | E1000_CAUSE_QUEUE(1))

/* Between interrupts of the "other" vector: QEMU raises it for each overrun too, which nobody wants
 * to know thousands of times a second. */
#define OTHER_INTERVAL_NS 8000000

/* The vector of the link stands behind those of the queues. */
static unsigned other_vector(const struct e1000_card *card)
{
    return card->net.queue_count;
}

/* MSI-X vector of a queue. EIAC has cleared the cause. A frame is in the ring before its interrupt
 * comes ("Transaction Ordering"), unless the poll thread has taken it meanwhile, which then looks
 * again by itself: with an empty ring there is nothing to wake it for. QEMU 7.2 sends such an
 * interrupt after each true one, once it has ever had to delay one: its EITR timer never forgets.
 */
static bool handle_queue(void *argument)
{
    struct e1000_queue *queue = argument;

    if (e1000_receive_ring_has_more(&queue->receive)) {
        net_queue_interrupt(&queue->card->net.queues[queue->index]);
    }
    return true;
}

/* MSI-X vector of all else. The causes of the queues are left to their own vectors. */
static bool handle_other(void *argument)
{
    struct e1000_card *card = argument;
    uint32_t causes;

    if (!e1000_is_touchable(card)) {
        return false;
    }
    causes = e1000_read(card, E1000_ICR) & ~QUEUE_CAUSES;
    e1000_write(card, E1000_ICR, causes);
    return e1000_causes_handle(card, causes);
}

/* MSI or INTx. */
static bool handle_all(void *argument)
{
    struct e1000_card *card = argument;
    uint32_t causes;

    if (!e1000_is_touchable(card)) {
        return false;
    }
    causes = e1000_read(card, E1000_ICR);
    e1000_write(card, E1000_ICR, causes);
    return e1000_causes_handle(card, causes);
}

/* Causes of frames that were polled would interrupt at once for nothing: they are cleared first.
 * Reading a register waits until the writes have arrived: a frame that came before they did is in
 * the ring by then ("Transaction Ordering", PCI Express Base Specification) and is found by the
 * look; one that comes later interrupts. */
static bool interrupt_on(struct net_device *device, unsigned queue)
{
    struct e1000_card *card = e1000_card_of(device);

    if (card->interrupt_kind != PCI_INTERRUPT_NONE) {
        e1000_write(card, E1000_ICR, card->receive_causes[queue]);
        e1000_write(card, E1000_IMS, card->receive_causes[queue]);
        e1000_read(card, E1000_IMS);
        /* Pairs with the device: it writes the descriptor, then looks at IMS. Without it the ring
         * could be read before IMS is set: a frame in between would not be seen by either. */
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
    }
    return e1000_receive_ring_has_more(&card->queues[queue].receive);
}

/* Vectors by cause, and how often. Masking is done by IMC and IMS alone. */
static void vectors_configure(struct e1000_card *card)
{
    unsigned other = other_vector(card);
    uint32_t vectors = (other | E1000_IVAR_VALID) << E1000_IVAR_OTHER;

    e1000_write(card, E1000_CTRL_EXT,
                e1000_read(card, E1000_CTRL_EXT) &
                    ~(E1000_CTRL_EXT_AUTO_MASK_MSI | E1000_CTRL_EXT_AUTO_MASK));
    e1000_write(card, E1000_IAM, 0);
    if (card->interrupt_kind != PCI_INTERRUPT_MSIX) {
        e1000_write(card, E1000_EIAC, 0);
        return;
    }
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        vectors |= (i | E1000_IVAR_VALID) << E1000_IVAR_RECEIVE(i);
        e1000_write(card, E1000_EITR(i), E1000_RECEIVE_INTERVAL_NS / E1000_INTERVAL_NS);
    }
    e1000_write(card, E1000_EITR(other), OTHER_INTERVAL_NS / E1000_INTERVAL_NS);
    e1000_write(card, E1000_IVAR, vectors);
    e1000_write(card, E1000_EIAC, QUEUE_CAUSES);
}

/* The next of a fixed series of random words (a linear congruential generator): the hash needs a
 * key whose bits look independent, nobody has to guess or not to guess it. */
static uint32_t key_word(uint64_t *state)
{
    *state = *state * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(*state >> 32);
}

/* Frames by hash to the queues in turn; what has no IPv4 header to queue 0. */
static void spreading_configure(struct e1000_card *card)
{
    uint64_t state = 1;
    uint32_t entries = 0;

    for (unsigned byte = 0; byte < sizeof(entries); byte++) {
        entries |= (byte % card->net.queue_count) << (8 * byte + E1000_RETA_QUEUE_SHIFT);
    }
    for (unsigned i = 0; i < E1000_RETA_WORDS; i++) {
        e1000_write(card, E1000_RETA(i), entries);
    }
    for (unsigned i = 0; i < E1000_RSSRK_WORDS; i++) {
        e1000_write(card, E1000_RSSRK(i), key_word(&state));
    }
    e1000_write(card, E1000_MRQC,
                card->net.queue_count > 1 ? E1000_MRQC_RSS | E1000_MRQC_IPV4 | E1000_MRQC_TCP_IPV4
                                          : 0);
}

/* Spreading wants extended descriptors, and the hash in the place of a checksum. */
static void configure(struct e1000_card *card)
{
    e1000_write(card, E1000_TIPG, E1000_TIPG_82574);
    e1000_write(card, E1000_TCTL, E1000_TCTL_MANY_READS);
    e1000_write(card, E1000_RFCTL,
                E1000_RFCTL_EXTENDED | E1000_RFCTL_NO_ISCSI | E1000_RFCTL_NO_NFS_WRITE |
                    E1000_RFCTL_NO_NFS_READ);
    e1000_write(card, E1000_RXCSUM, E1000_RXCSUM_HASH);
    spreading_configure(card);
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        e1000_write(card, E1000_TXDCTL(i), E1000_TXDCTL_DESCRIPTORS | E1000_TXDCTL_82574);
        e1000_write(card, E1000_TARC(i), e1000_read(card, E1000_TARC(i)) | E1000_TARC_ENABLE);
    }
    vectors_configure(card);
}

static const struct net_device_operations operations = {
    .driver = "e1000e",
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
    .format = &e1000_format_extended,
    .eeprom_done = 1u << 1,
    .eeprom_address_shift = 2,
    .has_master_disable = true,
    .configure = configure,
};

static bool vectors_route(struct e1000_card *card)
{
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        card->receive_causes[i] = E1000_CAUSE_QUEUE(i);
        if (!pci_interrupt_route(card->pci, i, card->net.queues[i].cpu, handle_queue,
                                 &card->queues[i])) {
            return false;
        }
    }
    card->link_causes = E1000_CAUSE_LINK | E1000_CAUSE_OTHER;
    return pci_interrupt_route(card->pci, other_vector(card), card->net.queues[0].cpu, handle_other,
                               card);
}

static bool interrupts_route(struct e1000_card *card, unsigned vectors)
{
    if (card->interrupt_kind == PCI_INTERRUPT_MSIX) {
        return vectors > other_vector(card) && vectors_route(card);
    }
    card->receive_causes[0] = RECEIVE_CAUSES;
    card->link_causes = E1000_CAUSE_LINK;
    return card->interrupt_kind == PCI_INTERRUPT_NONE ||
           pci_interrupt_route(card->pci, 0, card->net.queues[0].cpu, handle_all, card);
}

static bool attach(struct pci_device *pci)
{
    unsigned queues = cpu_count() > 1 ? E1000_QUEUES_MAX : 1;
    unsigned vectors;
    enum pci_interrupt_kind kind = pci_interrupts_choose(pci, queues + 1, &vectors);
    struct e1000_card *card;

    if (kind != PCI_INTERRUPT_MSIX || vectors <= queues) {
        queues = 1;
    }
    card = e1000_card_create(pci, &model, queues, kind);
    if (card == NULL) {
        return false;
    }
    if (!interrupts_route(card, vectors)) {
        e1000_card_use_clock(card);
    }
    return e1000_card_start(card);
}

static const struct pci_id ids[] = {{INTEL, DEVICE_82574L}, {0, 0}};

const struct pci_driver e1000e_driver = {.name = "e1000e", .ids = ids, .attach = attach};
