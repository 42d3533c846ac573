// SPDX-License-Identifier: MIT
/* The registers of a virtio device on PCI. Invariant: see virtio_pci.h; a register is read and
 * written in its own width ("PCI Device Layout"). Called by virtio_net*.c. */
#include "drivers/virtio_pci.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "arch/patience.h"
#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/page_allocator.h"
#include "kernel/string.h"

#define RESET_PATIENCE_NS  1000000000ull
#define GENERATION_RETRIES 16

/* Device status ("Device Status Field"). */
#define STATUS_ACKNOWLEDGE 1u
#define STATUS_DRIVER      2u
#define STATUS_DRIVER_OK   4u
#define STATUS_FEATURES_OK 8u
#define STATUS_NEEDS_RESET 64u
#define STATUS_FAILED      128u

/* Vendor capabilities ("Virtio Structure PCI Capabilities"). */
#define CAPABILITY_VENDOR     0x09
#define CAPABILITY_TYPE       3u
#define CAPABILITY_BAR        4u
#define CAPABILITY_OFFSET     8u
#define CAPABILITY_LENGTH     12u
#define CAPABILITY_MULTIPLIER 16u
#define CAPABILITIES_MAX      48 /* more do not fit into 192 bytes */

enum capability_type { TYPE_COMMON = 1, TYPE_NOTIFY, TYPE_INTERRUPT, TYPE_DEVICE, TYPE_COUNT };

/* "Common configuration structure layout". */
struct virtio_pci_common {
    uint32_t device_feature_select;
    uint32_t device_feature;
    uint32_t driver_feature_select;
    uint32_t driver_feature;
    uint16_t config_vector;
    uint16_t queue_count;
    uint8_t status;
    uint8_t config_generation;
    uint16_t queue_select;
    uint16_t queue_size;
    uint16_t queue_vector;
    uint16_t queue_enable;
    uint16_t queue_doorbell;
    uint32_t queue_descriptors[2]; /* 64-bit addresses, low half first */
    uint32_t queue_available[2];
    uint32_t queue_used[2];
};
_Static_assert(sizeof(struct virtio_pci_common) == 56, "the specification's layout");

static const char *location(const struct virtio_pci *transport)
{
    return transport->pci->location;
}

/* Maps the structure of capability @at. Returns NULL, having said why, if it is shorter than @least
 * or does not lie in its BAR. */
static volatile void *map_structure(const struct pci_device *pci, unsigned at, uint32_t least,
                                    uint32_t *length)
{
    uint8_t bar = pci_read8(pci, at + CAPABILITY_BAR);
    uint32_t offset = pci_read32(pci, at + CAPABILITY_OFFSET);

    *length = pci_read32(pci, at + CAPABILITY_LENGTH);
    if (bar >= PCI_BAR_MAX || *length < least || offset % 4 != 0) {
        log_error("virtio at %s: capability 0x%x makes no sense: BAR %u, offset 0x%x, length 0x%x",
                  pci->location, at, bar, offset, *length);
        return NULL;
    }
    return pci_map_bar(pci, bar, offset, *length);
}

/* The first capability of each type, as the specification prefers them; 0: none. Types unknown to
 * us, and structures in BARs of ports that we cannot use, are passed over. */
static void find_capabilities(const struct pci_device *pci, unsigned found[TYPE_COUNT])
{
    unsigned at = pci_find_capability(pci, CAPABILITY_VENDOR, 0);

    for (unsigned i = 0; at != 0 && i < CAPABILITIES_MAX; i++) {
        uint8_t type = pci_read8(pci, at + CAPABILITY_TYPE);
        uint8_t bar = pci_read8(pci, at + CAPABILITY_BAR);
        bool usable = bar < PCI_BAR_MAX && !pci->bars[bar].is_port;

        if (type >= TYPE_COMMON && type < TYPE_COUNT && usable && found[type] == 0) {
            found[type] = at;
        }
        at = pci_find_capability(pci, CAPABILITY_VENDOR, at);
    }
}

bool virtio_pci_open(struct virtio_pci *transport, struct pci_device *pci)
{
    unsigned found[TYPE_COUNT] = {0};
    uint32_t length;

    *transport = (struct virtio_pci){.pci = pci};
    find_capabilities(pci, found);
    if (found[TYPE_COMMON] == 0 || found[TYPE_NOTIFY] == 0 || found[TYPE_INTERRUPT] == 0) {
        log_error("virtio at %s: has no modern registers (a legacy device?)", pci->location);
        return false;
    }
    transport->common = map_structure(pci, found[TYPE_COMMON], sizeof(*transport->common), &length);
    transport->interrupt_status = map_structure(pci, found[TYPE_INTERRUPT], 1, &length);
    transport->doorbells = map_structure(pci, found[TYPE_NOTIFY], 2, &transport->doorbell_bytes);
    transport->doorbell_multiplier = pci_read32(pci, found[TYPE_NOTIFY] + CAPABILITY_MULTIPLIER);
    if (found[TYPE_DEVICE] != 0) {
        transport->config = map_structure(pci, found[TYPE_DEVICE], 1, &transport->config_bytes);
        if (transport->config == NULL) {
            return false;
        }
    }
    return transport->common != NULL && transport->interrupt_status != NULL &&
           transport->doorbells != NULL;
}

static void status_add(struct virtio_pci *transport, uint8_t bits)
{
    transport->common->status = transport->common->status | bits;
}

bool virtio_pci_reset(struct virtio_pci *transport)
{
    struct patience patience = patience_begin(clock_now_ns(), RESET_PATIENCE_NS);

    transport->common->status = 0;
    while (transport->common->status != 0) {
        if (patience_spent(&patience, clock_now_ns()) > RESET_PATIENCE_NS) {
            log_error("virtio at %s: not reset after a second, status 0x%x", location(transport),
                      transport->common->status);
            return false;
        }
        cpu_relax();
    }
    return true;
}

static uint64_t read_offered(struct virtio_pci *transport)
{
    uint64_t low, high;

    transport->common->device_feature_select = 0;
    low = transport->common->device_feature;
    transport->common->device_feature_select = 1;
    high = transport->common->device_feature;
    return high << 32 | low;
}

static void write_accepted(struct virtio_pci *transport, uint64_t features)
{
    transport->common->driver_feature_select = 0;
    transport->common->driver_feature = (uint32_t)features;
    transport->common->driver_feature_select = 1;
    transport->common->driver_feature = (uint32_t)(features >> 32);
}

/* "Device Initialization", steps 1 to 6. */
bool virtio_pci_begin(struct virtio_pci *transport, uint64_t wanted)
{
    uint64_t offered;

    if (!virtio_pci_reset(transport)) {
        return false;
    }
    status_add(transport, STATUS_ACKNOWLEDGE);
    status_add(transport, STATUS_DRIVER);
    offered = read_offered(transport);
    if ((offered & VIRTIO_FEATURE_VERSION_1) == 0) {
        log_error("virtio at %s: does not offer VERSION_1, but 0x%llx", location(transport),
                  (unsigned long long)offered);
        return false;
    }
    transport->features = offered & (wanted | VIRTIO_FEATURE_VERSION_1);
    write_accepted(transport, transport->features);
    status_add(transport, STATUS_FEATURES_OK);
    if ((transport->common->status & STATUS_FEATURES_OK) == 0) {
        log_error("virtio at %s: refuses features 0x%llx of the 0x%llx that it offers",
                  location(transport), (unsigned long long)transport->features,
                  (unsigned long long)offered);
        return false;
    }
    return true;
}

struct virtio_pci_queue *virtio_pci_queue_create(void)
{
    struct virtio_pci_queue *queue = heap_allocate(sizeof(*queue));
    uint64_t memory = queue != NULL ? page_allocate_run(VIRTIO_QUEUE_MEMORY_BYTES / PAGE_SIZE) : 0;

    if (memory == 0) {
        heap_free(queue);
        return NULL;
    }
    queue->memory = physical_to_virtual(memory);
    return queue;
}

void virtio_pci_queue_destroy(struct virtio_pci_queue *queue)
{
    if (queue != NULL) {
        page_free_run(virtual_to_physical(queue->memory), VIRTIO_QUEUE_MEMORY_BYTES / PAGE_SIZE);
        heap_free(queue);
    }
}

static void write_address(volatile uint32_t halves[2], const void *address)
{
    uint64_t physical = virtual_to_physical(address);

    halves[0] = (uint32_t)physical;
    halves[1] = (uint32_t)(physical >> 32);
}

/* The size to use of the selected queue; the device is told if that is less than its own. */
static bool choose_size(struct virtio_pci *transport, uint16_t index, uint16_t *size)
{
    uint16_t offered = transport->common->queue_size;
    const char *fault = virtio_queue_choose_size(offered, size);

    if (fault == NULL && *size != offered) {
        transport->common->queue_size = *size;
        fault = transport->common->queue_size == *size ? NULL : "cannot be made shorter";
    }
    if (fault != NULL) {
        log_error("virtio at %s: queue %u (size %u) %s", location(transport), index, offered,
                  fault);
    }
    return fault == NULL;
}

static bool set_queue_vector(struct virtio_pci *transport, uint16_t index, uint16_t vector)
{
    transport->common->queue_vector = vector;
    if (transport->common->queue_vector != vector) {
        log_error("virtio at %s: queue %u refuses vector %u", location(transport), index, vector);
        return false;
    }
    return true;
}

static bool find_doorbell(struct virtio_pci *transport, struct virtio_pci_queue *queue)
{
    uint64_t offset = (uint64_t)transport->common->queue_doorbell * transport->doorbell_multiplier;

    if (offset + sizeof(uint16_t) > transport->doorbell_bytes || offset % 2 != 0) {
        log_error("virtio at %s: the doorbell of queue %u lies at 0x%llx of 0x%x bytes",
                  location(transport), queue->index, (unsigned long long)offset,
                  transport->doorbell_bytes);
        return false;
    }
    queue->doorbell = (volatile uint16_t *)(transport->doorbells + offset);
    return true;
}

bool virtio_pci_queue_start(struct virtio_pci *transport, struct virtio_pci_queue *queue,
                            uint16_t index, uint16_t vector)
{
    uint16_t size;

    if (index >= virtio_pci_queue_count(transport)) {
        log_error("virtio at %s: has no queue %u, but %u queues", location(transport), index,
                  virtio_pci_queue_count(transport));
        return false;
    }
    queue->index = index;
    transport->common->queue_select = index;
    if (!choose_size(transport, index, &size) || !find_doorbell(transport, queue) ||
        !set_queue_vector(transport, index, vector)) {
        return false;
    }
    memset(queue->memory, 0, VIRTIO_QUEUE_MEMORY_BYTES);
    virtio_queue_initialize(&queue->ring, queue->memory, size,
                            (transport->features & VIRTIO_FEATURE_EVENT_INDEX) != 0);
    write_address(transport->common->queue_descriptors, queue->ring.descriptors);
    write_address(transport->common->queue_available, queue->ring.available);
    write_address(transport->common->queue_used, queue->ring.used);
    transport->common->queue_enable = 1;
    return true;
}

uint16_t virtio_pci_queue_count(const struct virtio_pci *transport)
{
    return transport->common->queue_count;
}

bool virtio_pci_set_config_vector(struct virtio_pci *transport, uint16_t vector)
{
    transport->common->config_vector = vector;
    if (transport->common->config_vector != vector) {
        log_error("virtio at %s: refuses vector %u for its configuration", location(transport),
                  vector);
        return false;
    }
    return true;
}

void virtio_pci_set_running(struct virtio_pci *transport)
{
    status_add(transport, STATUS_DRIVER_OK);
}

void virtio_pci_give_up(struct virtio_pci *transport)
{
    if (transport->common != NULL) {
        status_add(transport, STATUS_FAILED);
    }
    pci_disable(transport->pci);
}

bool virtio_pci_needs_reset(const struct virtio_pci *transport)
{
    return (transport->common->status & STATUS_NEEDS_RESET) != 0;
}

bool virtio_pci_read_config_bytes(const struct virtio_pci *transport, uint32_t offset, uint8_t *to,
                                  uint32_t count)
{
    for (unsigned tries = 0; tries < GENERATION_RETRIES; tries++) {
        uint8_t generation = transport->common->config_generation;

        for (uint32_t i = 0; i < count; i++) {
            to[i] = transport->config[offset + i];
        }
        if (transport->common->config_generation == generation) {
            return true;
        }
    }
    log_error("virtio at %s: its configuration changes all the time", location(transport));
    return false;
}

uint16_t virtio_pci_read_config16(const struct virtio_pci *transport, uint32_t offset)
{
    return *(const volatile uint16_t *)(transport->config + offset);
}

uint8_t virtio_pci_read_interrupts(const struct virtio_pci *transport)
{
    return *transport->interrupt_status;
}
