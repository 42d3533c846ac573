// SPDX-License-Identifier: MIT
/* Making a card and giving it back; see e1000_card.h. Invariant: whatever fails, all that was made
 * before is given back, and the device is left disabled. Called by e1000.c and e1000e.c. */
#include "arch/paging.h"
#include "drivers/e1000_card.h"
#include "kernel/log.h"
#include "kernel/page_allocator.h"
#include "kernel/string.h"

static size_t pages_of(size_t bytes)
{
    return (bytes + PAGE_SIZE - 1) / PAGE_SIZE;
}

/* The memory of a queue, one run of pages: the descriptors of both rings, which the device reads
 * and writes, and what each slot holds, which it does not know of. */
struct queue_memory {
    struct e1000_descriptor receive[E1000_RECEIVE_SLOTS];
    struct e1000_descriptor transmit[E1000_TRANSMIT_SLOTS];
    struct packet *receive_packets[E1000_RECEIVE_SLOTS];
    struct packet *transmit_packets[E1000_TRANSMIT_SLOTS];
};
_Static_assert(E1000_RECEIVE_SLOTS % E1000_RING_STEP == 0 &&
                   E1000_TRANSMIT_SLOTS % E1000_RING_STEP == 0,
               "RDLEN and TDLEN are multiples of 128 bytes");

static bool queue_create(struct e1000_card *card, unsigned index)
{
    struct e1000_queue *queue = &card->queues[index];
    uint64_t physical = page_allocate_run(pages_of(sizeof(struct queue_memory)));
    struct queue_memory *memory = physical_to_virtual(physical);

    if (physical == 0) {
        return false;
    }
    queue->card = card;
    queue->index = index;
    e1000_receive_ring_initialize(&queue->receive, memory->receive, memory->receive_packets,
                                  E1000_RECEIVE_SLOTS, card->model->format, card->net.pool);
    e1000_transmit_ring_initialize(&queue->transmit, memory->transmit, memory->transmit_packets,
                                   E1000_TRANSMIT_SLOTS);
    return true;
}

static bool memory_create(struct e1000_card *card, unsigned queues)
{
    card->net.pool = packet_pool_create(card->net.operations->driver,
                                        queues * (E1000_RECEIVE_SLOTS + E1000_SPARES +
                                                  E1000_TRANSMIT_SLOTS + E1000_PACKETS_BEYOND));
    if (card->net.pool == NULL) {
        return false;
    }
    while (card->net.queue_count < queues && queue_create(card, card->net.queue_count)) {
        card->net.queues[card->net.queue_count].cpu = net_queue_choose_cpu(queues);
        card->net.queue_count++;
    }
    return card->net.queue_count == queues;
}

void e1000_card_destroy(struct e1000_card *card)
{
    pci_interrupts_release(card->pci);
    pci_disable(card->pci);
    e1000_rings_empty(card);
    for (unsigned i = 0; i < card->net.queue_count; i++) {
        page_free_run(virtual_to_physical(card->queues[i].receive.descriptors),
                      pages_of(sizeof(struct queue_memory)));
    }
    if (card->net.pool != NULL) {
        packet_pool_destroy(card->net.pool);
    }
    page_free_run(virtual_to_physical(card), pages_of(sizeof(*card)));
}

static void interrupt_kind_set(struct e1000_card *card, enum pci_interrupt_kind kind)
{
    card->interrupt_kind = kind;
    card->net.interrupt_kind = pci_interrupt_kind_name(kind);
    card->net.is_polled_by_clock = kind == PCI_INTERRUPT_NONE;
}

void e1000_card_use_clock(struct e1000_card *card)
{
    log_warning("%s at %s: without an interrupt it is polled by the clock",
                card->net.operations->driver, card->net.location);
    pci_interrupts_release(card->pci);
    interrupt_kind_set(card, PCI_INTERRUPT_NONE);
}

/* A card that knows its place, and no more. */
static struct e1000_card *card_allocate(struct pci_device *pci, const struct e1000_model *model,
                                        enum pci_interrupt_kind kind)
{
    uint64_t physical = page_allocate_run(pages_of(sizeof(struct e1000_card)));
    struct e1000_card *card = physical_to_virtual(physical);

    if (physical == 0) {
        log_error("%s at %s: no memory", model->operations->driver, pci->location);
        return NULL;
    }
    card->net.operations = model->operations;
    card->net.driver_data = card;
    memcpy(card->net.location, pci->location, sizeof(card->net.location));
    card->model = model;
    card->pci = pci;
    interrupt_kind_set(card, kind);
    card->totals_lock = (struct spinlock)SPINLOCK("e1000 counters");
    return card;
}

struct e1000_card *e1000_card_create(struct pci_device *pci, const struct e1000_model *model,
                                     unsigned queues, enum pci_interrupt_kind kind)
{
    struct e1000_card *card = card_allocate(pci, model, kind);

    if (card == NULL) {
        return NULL;
    }
    card->registers = pci_map_bar(pci, 0, 0, E1000_REGISTER_BYTES);
    if (card->registers == NULL) {
        e1000_card_destroy(card);
        return NULL;
    }
    pci_enable(pci);
    if (!e1000_device_stop(card) || !e1000_mac_find(card)) {
        e1000_card_destroy(card);
        return NULL;
    }
    if (!memory_create(card, queues)) {
        log_error("%s at %s: no memory for its rings and packets", model->operations->driver,
                  pci->location);
        e1000_card_destroy(card);
        return NULL;
    }
    return card;
}

bool e1000_card_start(struct e1000_card *card)
{
    if (e1000_device_start(card)) {
        if (net_device_register(&card->net)) {
            e1000_link_watch(card);
            return true;
        }
        pci_interrupts_release(card->pci); /* its handlers must not touch what is being reset */
        e1000_device_stop(card);
    }
    e1000_card_destroy(card);
    return false;
}
