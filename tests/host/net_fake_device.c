// SPDX-License-Identifier: MIT
/* A network card that keeps what is sent; see net_fake_device.h. */
#include "tests/host/net_fake_device.h"

#include <string.h>

#include "net/net_config.h"
#include "net/net_poll.h"
#include "net/receive.h"

#include <sanitizer/asan_interface.h> /* without the sanitizer its macros are empty */

/* An answer may be longer than its question: an ARP frame is padded, an ICMP error quotes. */
#define ANSWER_BYTES_MAX 128

struct net_fake_frame net_fake_sent[NET_FAKE_SENT_MAX];
unsigned net_fake_sent_count;
bool net_fake_ring_is_full;
static struct net_device devices[NET_DEVICE_MAX];

static bool fake_transmit(struct net_device *device, unsigned queue, struct packet *packet)
{
    if (net_fake_ring_is_full) {
        return false;
    }
    if (net_fake_sent_count < NET_FAKE_SENT_MAX) {
        struct net_fake_frame *frame = &net_fake_sent[net_fake_sent_count];

        memcpy(frame->bytes, packet->data, packet->length);
        frame->length = packet->length;
        frame->device = device;
        frame->queue = queue;
    }
    net_fake_sent_count++;
    packet_free(packet);
    return true;
}

static void fake_transmit_start(struct net_device *device, unsigned queue)
{
    (void)device;
    (void)queue;
}

/* Threads of queues: there are none. */
bool net_queue_start(struct net_queue *queue)
{
    (void)queue;
    return true;
}

void net_queue_stop(struct net_queue *queue)
{
    (void)queue;
}

bool net_queue_pause(struct net_queue *queue, uint64_t patience_ns)
{
    (void)queue;
    (void)patience_ns;
    return true;
}

void net_queue_resume(struct net_queue *queue)
{
    (void)queue;
}

struct net_device *net_fake_device_add(unsigned index, uint32_t address, uint32_t mask)
{
    static const struct net_device_operations operations = {
        .driver = "fake", .transmit = fake_transmit, .transmit_start = fake_transmit_start};
    struct net_device *device = &devices[index];

    *device = (struct net_device){
        .operations = &operations,
        .mac = {0x02, 0, 0, 0, 0, (uint8_t)(index + 1)},
        .queue_count = 2,
        .pool = packet_pool_create("fake", NET_FAKE_PACKETS),
        .link_is_up = true,
    };
    if (device->pool == NULL || !net_device_register(device) ||
        !net_config_set_address(device, address, mask, NET_CONFIG_STATIC)) {
        return NULL;
    }
    return device;
}

void net_fake_device_remove(struct net_device *device)
{
    net_config_set_address(device, 0, 0, NET_CONFIG_NONE);
    net_device_unregister(device);
    packet_pool_destroy(device->pool);
}

bool net_fake_receive(struct net_device *device, const uint8_t *bytes, uint32_t length,
                      uint8_t behind)
{
    struct packet *packet = packet_allocate(device->pool);
    uint32_t touchable = length > ANSWER_BYTES_MAX ? length : ANSWER_BYTES_MAX;
    uint8_t *buffer;

    if (packet == NULL) {
        return false;
    }
    buffer = packet->buffer;
    memcpy(packet_append(packet, length), bytes, length);
    memset(packet->data + length, behind, packet_tailroom(packet));
    packet->device = device;
    packet->queue = 1;
    ASAN_POISON_MEMORY_REGION(packet->data + touchable,
                              PACKET_BUFFER_BYTES - PACKET_HEADROOM - touchable);
    net_receive(packet);
    ASAN_UNPOISON_MEMORY_REGION(buffer, PACKET_BUFFER_BYTES);
    return true;
}

unsigned net_fake_held(struct net_device *device)
{
    struct packet_pool_counts counts = packet_pool_count(device->pool);

    return counts.total - counts.free;
}
