// SPDX-License-Identifier: MIT
/* Ethernet II; see ethernet.h. Invariant: one lookup by type and one call of its protocol a frame,
 * in ethernet_receive() and nowhere else. */
#include "net/ethernet.h"

#include "net/arp.h"
#include "net/counters.h"
#include "net/ipv4.h"

DEFINE_DYNAMIC_CALL(deliver, net_protocol_receive, 2);

const uint8_t mac_broadcast[MAC_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

/* The most frequent first. */
static const struct net_protocol net_protocols[] = {
    {.type = ETHERTYPE_IPV4, .receive = ipv4_receive},
    {.type = ETHERTYPE_ARP, .receive = arp_receive},
};

static const struct net_protocol *protocol_find(uint16_t type)
{
    for (unsigned i = 0; i < sizeof(net_protocols) / sizeof(net_protocols[0]); i++) {
        if (net_protocols[i].type == type) {
            return &net_protocols[i];
        }
    }
    return NULL;
}

/* Why the frame goes no further, or NET_COUNTER_COUNT. Multicast is not for us: nothing here
 * listens to any. */
static enum net_counter header_obstacle(const struct packet *packet)
{
    const uint8_t *destination = packet->data, *source = packet->data + MAC_BYTES;

    if (packet->length < ETHERNET_HEADER_BYTES) {
        return NET_DROP_FRAME_SHORT;
    }
    if (packet->length > FRAME_BYTES_MAX) {
        return NET_DROP_FRAME_LONG;
    }
    if (packet->device == NULL) {
        return NET_COUNTER_COUNT; /* our own */
    }
    if (!mac_is_other_station(source, packet->device->mac)) {
        return NET_DROP_ETHERNET_SOURCE; /* an answer would go to many, to nobody or to us */
    }
    if (!mac_is_equal(destination, packet->device->mac) &&
        !mac_is_equal(destination, mac_broadcast)) {
        return NET_DROP_NOT_FOR_US;
    }
    return NET_COUNTER_COUNT;
}

void ethernet_receive(struct packet *packet)
{
    enum net_counter obstacle = header_obstacle(packet);
    const struct net_protocol *protocol;

    if (obstacle != NET_COUNTER_COUNT) {
        net_drop(packet, obstacle);
        return;
    }
    protocol = protocol_find(wire_get16(packet->data + 2 * MAC_BYTES));
    if (protocol == NULL) {
        net_drop(packet, NET_DROP_ETHERTYPE);
        return;
    }
    packet_pull(packet, ETHERNET_HEADER_BYTES);
    dynamic_call(deliver, protocol->receive, packet);
}

void ethernet_put_header(struct packet *packet, const uint8_t destination[MAC_BYTES],
                         const uint8_t source[MAC_BYTES], uint16_t type)
{
    uint8_t *header = packet_prepend(packet, ETHERNET_HEADER_BYTES);

    __builtin_memcpy(header, destination, MAC_BYTES);
    __builtin_memcpy(header + MAC_BYTES, source, MAC_BYTES);
    wire_put16(header + 2 * MAC_BYTES, type);
}

bool ethernet_send(struct net_device *device, const uint8_t destination[MAC_BYTES], uint16_t type,
                   struct packet *packet)
{
    ethernet_put_header(packet, destination, device->mac, type);
    return net_device_transmit(device, net_device_transmit_queue(device), packet);
}
