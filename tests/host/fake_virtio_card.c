// SPDX-License-Identifier: MIT
/* See fake_virtio_card.h. */
#include "tests/host/fake_virtio_card.h"

#include <string.h>

#include "drivers/pci_registers.h"
#include "drivers/virtio_queue.h"
#include "tests/host/fake_registers.h"

#define VENDOR_SPECIFIC 0x09
#define MULTIPLIER      4u
#define CONFIG_BYTES    10u
#define DOORBELL_BYTES  (MULTIPLIER * CARD_QUEUES)
#define SLOW_LOOKS      5u

/* "Common configuration structure layout", to be read and written in one go. */
struct common {
    uint32_t device_feature_select, device_feature, driver_feature_select, driver_feature;
    uint16_t config_vector, queue_count;
    uint8_t status, generation;
    uint16_t queue_select, queue_size, queue_vector, queue_enable, queue_doorbell;
    uint64_t descriptors, available, used;
};

struct fake_virtio_card card;
static uint8_t *registers;
static unsigned slow_looks;

static bool is_inside(uint32_t offset, uint32_t start, uint32_t length)
{
    return offset >= start && offset < start + length;
}

static void say_queue(struct common *common)
{
    static const struct card_queue none;
    const struct card_queue *queue =
        common->queue_select < CARD_QUEUES ? &card.queues[common->queue_select] : &none;

    common->queue_size = queue->size;
    common->queue_vector = queue->vector;
    common->queue_enable = queue->enabled;
    common->queue_doorbell = queue->doorbell;
    common->descriptors = queue->descriptors;
    common->available = queue->available;
    common->used = queue->used;
}

/* Makes all registers say what the card is. */
static void say(uint32_t offset)
{
    static const uint8_t mac[] = {0x52, 0x54, 0, 1, 2, 3};
    struct common *common = (struct common *)(registers + CARD_COMMON);

    if ((card.function->config.words[PCI_COMMAND / 2] & PCI_COMMAND_MEMORY) == 0) {
        card.strays++;
    }
    if (!is_inside(offset, CARD_COMMON, sizeof(*common)) && offset != CARD_ISR &&
        !is_inside(offset, CARD_CONFIG, CONFIG_BYTES) &&
        !is_inside(offset, CARD_DOORBELL, DOORBELL_BYTES)) {
        card.strays++;
    }
    if (card.resets_slowly && slow_looks > 0 && --slow_looks == 0) {
        card.status = 0;
    }
    card.generation += card.is_restless;
    common->device_feature = common->device_feature_select < 2
                                 ? (uint32_t)(card.offered >> 32 * common->device_feature_select)
                                 : 0;
    common->config_vector = card.config_vector;
    common->queue_count = card.queue_count;
    common->status = card.status;
    common->generation = card.generation;
    say_queue(common);
    registers[CARD_ISR] = card.interrupts;
    memcpy(registers + CARD_CONFIG, mac, sizeof(mac));
    memcpy(registers + CARD_CONFIG + 6, &card.link, sizeof(card.link));
    memcpy(registers + CARD_CONFIG + 8, &card.max_pairs, sizeof(card.max_pairs));
}

static void forget(void)
{
    for (unsigned i = 0; i < CARD_QUEUES; i++) {
        struct card_queue *queue = &card.queues[i];

        *queue = (struct card_queue){.size = queue->offered_size,
                                     .offered_size = queue->offered_size,
                                     .vector = 0xffff,
                                     .doorbell = queue->doorbell};
    }
    card.config_vector = 0xffff;
    card.accepted = 0;
}

static void hear_status(uint8_t status)
{
    if (status == 0) {
        card.resets++;
        if (!card.reset_hangs) {
            slow_looks = card.resets_slowly ? SLOW_LOOKS : 0;
            card.status = card.resets_slowly ? card.status : 0;
            forget();
        }
        return;
    }
    if (card.refuses_features) {
        status &= (uint8_t)~STATUS_FEATURES_OK;
    }
    card.status |= status;
}

static void hear_queue(const struct common *common, uint32_t offset)
{
    struct card_queue *queue = &card.queues[common->queue_select];

    if (common->queue_select >= CARD_QUEUES) {
        return;
    }
    switch (offset) {
    case offsetof(struct common, queue_size):
        queue->size = card.keeps_sizes ? queue->size : common->queue_size;
        break;
    case offsetof(struct common, queue_vector):
        queue->vector = card.refuses_vectors ? 0xffff : common->queue_vector;
        break;
    default:
        queue->enabled = common->queue_enable;
        queue->descriptors = common->descriptors;
        queue->available = common->available;
        queue->used = common->used;
    }
}

/* Answers the request whose two descriptors are the newest. */
static void answer(const struct card_queue *queue)
{
    const struct virtio_available *available = (void *)queue->available;
    struct virtio_descriptor *descriptors = (void *)queue->descriptors;
    struct virtio_used *used = (void *)queue->used;
    uint16_t head = available->ring[used->index % queue->size];

    card.requests++;
    if (!card.control_is_silent) {
        *(uint8_t *)descriptors[descriptors[head].next].address = card.answer;
        used->ring[used->index % queue->size] = (struct virtio_used_entry){head, 1};
        used->index++;
    }
}

static void hear(uint32_t offset)
{
    const struct common *common = (const struct common *)(registers + CARD_COMMON);
    unsigned control = 2u * card.max_pairs;

    if (offset == offsetof(struct common, status)) {
        hear_status(common->status);
    } else if (offset == offsetof(struct common, driver_feature)) {
        unsigned shift = 32 * (common->driver_feature_select & 1);

        card.accepted &= ~(0xffffffffull << shift);
        card.accepted |= (uint64_t)common->driver_feature << shift;
    } else if (offset == offsetof(struct common, config_vector)) {
        card.config_vector = card.refuses_config_vector ? 0xffff : common->config_vector;
    } else if (is_inside(offset, offsetof(struct common, queue_size), sizeof(*common))) {
        hear_queue(common, offset);
    } else if (offset == CARD_DOORBELL + MULTIPLIER * control && control < CARD_QUEUES) {
        answer(&card.queues[control]);
    }
}

static void add_capability(unsigned at, unsigned next, uint8_t type, uint32_t offset,
                           uint32_t length)
{
    struct fake_function *function = card.function;

    fake_pci_add_capability(function, (uint8_t)at, VENDOR_SPECIFIC, (uint8_t)next,
                            at == CAP_COMMON);
    function->config.bytes[at + CAP_TYPE] = type;
    function->config.bytes[at + CAP_BAR] = CARD_BAR;
    function->config.longs[(at + CAP_OFFSET) / 4] = offset;
    function->config.longs[(at + CAP_LENGTH) / 4] = length;
}

void fake_virtio_card_start(void)
{
    fake_pci_reset();
    card = (struct fake_virtio_card){.offered = FEATURE_VERSION_1 | FEATURE_MAC | FEATURE_CONTROL |
                                                FEATURE_PAIRS | 1ull << 16 | 1ull << 15,
                                     .queue_count = CARD_QUEUES,
                                     .max_pairs = 4,
                                     .link = 1};
    for (unsigned i = 0; i < CARD_QUEUES; i++) {
        card.queues[i] = (struct card_queue){.offered_size = 64, .doorbell = (uint16_t)i};
    }
    forget();
    card.function = fake_pci_add(0, 3, 0, PCI_HEADER_DEVICE);
    card.function->config.words[PCI_VENDOR / 2] = 0x1af4;
    card.function->config.words[PCI_ID / 2] = 0x1041;
    card.function->config.longs[PCI_BAR0 / 4 + CARD_BAR] = CARD_ADDRESS;
    card.function->bar_writable[CARD_BAR] = ~(CARD_BYTES - 1);
    add_capability(CAP_COMMON, CAP_NOTIFY, 1, CARD_COMMON, sizeof(struct common));
    add_capability(CAP_NOTIFY, CAP_ISR, 2, CARD_DOORBELL, DOORBELL_BYTES);
    card.function->config.longs[(CAP_NOTIFY + CAP_MULTIPLE) / 4] = MULTIPLIER;
    add_capability(CAP_ISR, CAP_CONFIG, 3, CARD_ISR, 1);
    add_capability(CAP_CONFIG, 0, 4, CARD_CONFIG, CONFIG_BYTES);
    fake_memory = fake_registers_make(CARD_BYTES, say, hear, &registers);
    fake_memory_address = CARD_ADDRESS;
}

void fake_virtio_card_end(void)
{
    fake_registers_end();
}

bool fake_virtio_card_is_bus_master(void)
{
    return (card.function->config.words[PCI_COMMAND / 2] & PCI_COMMAND_MASTER) != 0;
}

bool fake_virtio_card_uses(uint64_t physical, uint64_t bytes)
{
    for (unsigned i = 0; i < CARD_QUEUES && fake_virtio_card_is_bus_master(); i++) {
        const struct card_queue *queue = &card.queues[i];

        if (queue->enabled != 0 && queue->used >= physical && queue->used < physical + bytes) {
            return true;
        }
    }
    return false;
}
