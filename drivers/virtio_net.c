// SPDX-License-Identifier: MIT
/* The driver of virtio-net cards: attaching, starting, resetting. Invariant: a device that is
 * registered has all its queues; when it cannot be started it writes to no memory and its rings
 * hold no packet. Called by drivers/nics.c, and by net/ through struct net_device_operations. */
#include "drivers/virtio_net.h"

#include "arch/percpu.h"
#include "drivers/nics.h"
#include "kernel/cross_call.h"
#include "kernel/format.h"
#include "kernel/heap.h"
#include "kernel/log.h"

#define FEATURES_WANTED                                                                            \
    (VIRTIO_FEATURE_EVENT_INDEX | VIRTIO_NET_FEATURE_MAC | VIRTIO_NET_FEATURE_MERGED |             \
     VIRTIO_NET_FEATURE_STATUS | VIRTIO_NET_FEATURE_CONTROL | VIRTIO_NET_FEATURE_PAIRS)

/* "Device configuration layout". */
#define CONFIG_MAC_OFFSET       0
#define CONFIG_MAX_PAIRS_OFFSET 8
#define CONFIG_MAX_PAIRS_MOST   0x8000

/* Packets beyond those of the rings: in sockets, in the hands of protocols, being made. */
#define PACKETS_ELSEWHERE 1024u

/* How far into the device's registers the features make us read. */
static uint32_t config_bytes_needed(uint64_t features)
{
    if ((features & VIRTIO_NET_FEATURE_PAIRS) != 0) {
        return CONFIG_MAX_PAIRS_OFFSET + sizeof(uint16_t);
    }
    if ((features & VIRTIO_NET_FEATURE_STATUS) != 0) {
        return CONFIG_MAX_PAIRS_OFFSET;
    }
    return (features & VIRTIO_NET_FEATURE_MAC) != 0 ? MAC_BYTES : 0;
}

/* The card's own address, or one of the locally administered ones, made of its place. */
static bool read_mac(struct virtio_net *nic)
{
    const struct pci_device *pci = nic->transport.pci;
    uint8_t *mac = nic->device.mac;

    if ((nic->features & VIRTIO_NET_FEATURE_MAC) != 0) {
        return virtio_pci_read_config_bytes(&nic->transport, CONFIG_MAC_OFFSET, mac, MAC_BYTES);
    }
    mac[0] = 0x02;
    mac[3] = pci->bus;
    mac[4] = pci->device;
    mac[5] = pci->function;
    log_info("virtio-net at %s: has no address, takes 02:00:00:%02x:%02x:%02x",
             nic->device.location, mac[3], mac[4], mac[5]);
    return true;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* One pair, or as many as device, CPUs and we can use if there is a queue to agree on that. */
static bool choose_pairs(struct virtio_net *nic)
{
    uint64_t needed = VIRTIO_NET_FEATURE_PAIRS | VIRTIO_NET_FEATURE_CONTROL;
    unsigned most = 1;

    if ((nic->features & needed) == needed) {
        most = virtio_pci_read_config16(&nic->transport, CONFIG_MAX_PAIRS_OFFSET);
        if (most == 0 || most > CONFIG_MAX_PAIRS_MOST) {
            log_error("virtio-net at %s: offers %u queue pairs", nic->device.location, most);
            return false;
        }
    }
    nic->control_index = (uint16_t)(2 * most);
    nic->device.queue_count = least(least(most, cpu_count()), NET_QUEUE_MAX);
    return true;
}

/* Finds out what the device is like. */
static bool examine(struct virtio_net *nic, struct pci_device *pci)
{
    struct virtio_pci *transport = &nic->transport;

    if (!virtio_pci_open(transport, pci) || !virtio_pci_begin(transport, FEATURES_WANTED)) {
        return false;
    }
    nic->features = transport->features;
    if (transport->config_bytes < config_bytes_needed(nic->features)) {
        log_error("virtio-net at %s: its own registers end at byte %u, before byte %u",
                  nic->device.location, transport->config_bytes,
                  config_bytes_needed(nic->features));
        return false;
    }
    return read_mac(nic) && choose_pairs(nic);
}

static bool allocate(struct virtio_net *nic)
{
    unsigned pairs = nic->device.queue_count;
    bool complete = true;

    for (unsigned i = 0; i < pairs; i++) {
        nic->pairs[i].receive = virtio_pci_queue_create();
        nic->pairs[i].transmit = virtio_pci_queue_create();
        nic->device.queues[i].cpu = net_queue_choose_cpu(pairs);
        complete &= nic->pairs[i].receive != NULL && nic->pairs[i].transmit != NULL;
    }
    if (pairs > 1) {
        nic->control = virtio_pci_queue_create();
        complete &= nic->control != NULL;
    }
    nic->device.pool =
        packet_pool_create("virtio-net", pairs * 2 * VIRTIO_QUEUE_SIZE_MAX + PACKETS_ELSEWHERE);
    complete &= nic->device.pool != NULL;
    if (!complete) {
        log_error("virtio-net at %s: no memory for the rings and packets of %u queue pairs",
                  nic->device.location, pairs);
    }
    return complete;
}

static void release(struct virtio_net *nic)
{
    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        virtio_pci_queue_destroy(nic->pairs[i].receive);
        virtio_pci_queue_destroy(nic->pairs[i].transmit);
    }
    virtio_pci_queue_destroy(nic->control);
    if (nic->device.pool != NULL) {
        packet_pool_destroy(nic->device.pool);
    }
}

/* The device has been reset, or can no longer reach memory. */
static void empty_rings(struct virtio_net *nic)
{
    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        virtio_net_empty(&nic->pairs[i]);
    }
}

static bool start_pair(struct virtio_net *nic, unsigned pair)
{
    struct virtio_pci *transport = &nic->transport;
    uint16_t vector = virtio_net_queue_vector(nic, pair);

    return virtio_pci_queue_start(transport, nic->pairs[pair].receive, (uint16_t)(2 * pair),
                                  vector) &&
           virtio_pci_queue_start(transport, nic->pairs[pair].transmit, (uint16_t)(2 * pair + 1),
                                  VIRTIO_NO_VECTOR);
}

static bool start_queues(struct virtio_net *nic)
{
    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        if (!start_pair(nic, i)) {
            return false;
        }
    }
    return nic->control == NULL || virtio_pci_queue_start(&nic->transport, nic->control,
                                                          nic->control_index, VIRTIO_NO_VECTOR);
}

/* Buffers go in before the device runs, so no doorbell is needed for them. */
static bool fill_rings(struct virtio_net *nic)
{
    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        if (virtio_net_fill(nic, i) == 0) {
            log_error("virtio-net at %s: no packets for queue %u", nic->device.location, i);
            return false;
        }
    }
    return true;
}

/* From agreed features to a running device. */
static bool start(struct virtio_net *nic)
{
    unsigned pairs = nic->device.queue_count;

    if (!start_queues(nic) || !fill_rings(nic) ||
        !virtio_pci_set_config_vector(&nic->transport, virtio_net_config_vector(nic))) {
        return false;
    }
    virtio_pci_set_running(&nic->transport);
    for (unsigned i = 0; i < pairs; i++) {
        virtio_pci_queue_notify(nic->pairs[i].receive);
    }
    return pairs == 1 || virtio_net_control_set_pairs(nic, pairs);
}

/* Interrupts are passed on from here on; what came before is looked for. Release: pairs with the
 * acquire in virtio_net_interrupts.c. */
static void go(struct virtio_net *nic)
{
    __atomic_store_n(&nic->is_running, true, __ATOMIC_RELEASE);
    virtio_net_link_update(nic);
}

/* Stops the device for good or until the next reset: it writes to no memory any more. A device that
 * does not even reset loses the bus. */
static void stop(struct virtio_net *nic)
{
    __atomic_store_n(&nic->is_running, false, __ATOMIC_RELEASE);
    if (nic->transport.common != NULL) {
        virtio_pci_reset(&nic->transport);
    }
    /* On a shared line its handler is called for others: all ones, read of nobody, would be taken
     * for an interrupt of its own. Release: pairs with the acquire in virtio_net_interrupts.c. */
    __atomic_store_n(&nic->is_off, true, __ATOMIC_RELEASE);
    interrupt_handlers_wait();
    virtio_pci_give_up(&nic->transport);
    empty_rings(nic);
}

/* A handler that still believed in what the device said before its reset could declare the new one
 * dead, or the link down: those that are under way are waited for. */
static bool reset(struct net_device *device)
{
    struct virtio_net *nic = virtio_net_of(device);

    __atomic_store_n(&nic->is_running, false, __ATOMIC_RELEASE);
    interrupt_handlers_wait();
    pci_enable(nic->transport.pci);                          /* a reset before may have failed */
    __atomic_store_n(&nic->is_off, false, __ATOMIC_RELEASE); /* it decodes again */
    if (!virtio_pci_reset(&nic->transport)) {
        stop(nic);
        return false;
    }
    empty_rings(nic);
    if (!virtio_pci_begin(&nic->transport, nic->features)) {
        stop(nic);
        return false;
    }
    if (nic->transport.features != nic->features) {
        log_error("virtio-net at %s: after its reset offers 0x%llx, not 0x%llx", device->location,
                  (unsigned long long)nic->transport.features, (unsigned long long)nic->features);
        stop(nic);
        return false;
    }
    if (!start(nic)) {
        stop(nic);
        return false;
    }
    go(nic);
    return true;
}

static void show_counters(struct net_device *device,
                          void (*show)(void *argument, const char *name, uint64_t value),
                          void *argument)
{
    struct virtio_net *nic = virtio_net_of(device);
    struct virtio_net_pair sum = {0};

    for (unsigned i = 0; i < device->queue_count; i++) {
        sum.receive_doorbells += nic->pairs[i].receive_doorbells;
        sum.transmit_doorbells += nic->pairs[i].transmit_doorbells;
        sum.frames_spanning += nic->pairs[i].frames_spanning;
        sum.moved += nic->pairs[i].moved;
    }
    show(argument, "features", nic->features);
    show(argument, "vectors", nic->vector_count);
    show(argument, "receive_doorbells", sum.receive_doorbells);
    show(argument, "transmit_doorbells", sum.transmit_doorbells);
    show(argument, "drop.frame_spanning", sum.frames_spanning);
    show(argument, "transmit_moved", sum.moved);
}

static const struct net_device_operations operations = {
    .driver = "virtio-net",
    .poll = virtio_net_poll,
    .interrupt_on = virtio_net_interrupt_on,
    .interrupt_off = virtio_net_interrupt_off,
    .transmit = virtio_net_transmit,
    .transmit_start = virtio_net_transmit_start,
    .transmit_reclaim = virtio_net_transmit_reclaim,
    .transmit_ring_count = virtio_net_transmit_ring_count,
    .receive_ring_count = virtio_net_receive_ring_count,
    .reset = reset,
    .device_counters = show_counters,
};

static struct virtio_net *create(struct pci_device *pci)
{
    struct virtio_net *nic = heap_allocate(sizeof(*nic));

    if (nic == NULL) {
        log_error("virtio-net at %s: no memory", pci->location);
        return NULL;
    }
    nic->device.operations = &operations;
    nic->device.driver_data = nic;
    nic->transport.pci = pci;
    format_text(nic->device.location, sizeof(nic->device.location), "%s", pci->location);
    return nic;
}

static bool prepare(struct virtio_net *nic, struct pci_device *pci)
{
    pci_enable(pci);
    return examine(nic, pci) && allocate(nic);
}

/* Takes back whatever prepare() and what follows it have done so far. */
static void undo(struct virtio_net *nic)
{
    pci_interrupts_release(nic->transport.pci); /* first: its table lies in the device's memory */
    stop(nic);
    release(nic);
    heap_free(nic);
}

static bool attach(struct pci_device *pci)
{
    struct virtio_net *nic = create(pci);

    if (nic == NULL) {
        return false;
    }
    if (!prepare(nic, pci) || !virtio_net_interrupts_route(nic) || !start(nic) ||
        !net_device_register(&nic->device)) {
        undo(nic);
        return false;
    }
    go(nic);
    for (unsigned i = 0; i < nic->device.queue_count; i++) {
        net_queue_kick(&nic->device.queues[i]); /* an interrupt may have come before go() */
    }
    return true;
}

static const struct pci_id ids[] = {
    {VIRTIO_PCI_VENDOR, 0x1000}, /* transitional */
    {VIRTIO_PCI_VENDOR, 0x1041}, /* modern: 0x1040 + device type 1 */
    {0, 0},
};

const struct pci_driver virtio_net_driver = {.name = "virtio-net", .ids = ids, .attach = attach};
