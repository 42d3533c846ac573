// SPDX-License-Identifier: MIT
/* Sending IPv4; see ipv4.h. Invariant: what is sent back goes to the station it came from, whatever
 * the route says; what is for ourselves never reaches a device. Called by udp.c, icmp.c. */
#include "net/arp.h"
#include "net/counters.h"
#include "net/ethernet.h"
#include "net/ipv4_header.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/wire.h"

#define VERSION_AND_LENGTH 0x45 /* 4, and 5 words */
#define ANSWERS_TO_OWN_MAX 4    /* of the machine to itself, each inside the one before */

static bool is_on_net_of(const struct net_device *device, uint32_t address)
{
    uint32_t own = ipv4_address_of(device);

    return own != 0 && ((own ^ address) & ipv4_mask_of(device)) == 0;
}

/* The neighbour through which @device reaches @destination, 0: none. */
static uint32_t next_hop_from(const struct net_device *device, uint32_t destination)
{
    uint32_t gateway = net_config_gateway();

    if (ipv4_is_broadcast_on(device, destination) || is_on_net_of(device, destination)) {
        return destination;
    }
    return gateway != 0 && is_on_net_of(device, gateway) ? gateway : 0;
}

/* The device with the smallest net that holds @address, or NULL. */
static struct net_device *device_on_net_of(uint32_t address)
{
    struct net_device *device, *best = NULL;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (is_on_net_of(device, address) &&
            (best == NULL || ipv4_mask_of(device) > ipv4_mask_of(best))) {
            best = device;
        }
    }
    return best;
}

/* The first that has an address: where a broadcast to all goes that names no device. */
static struct net_device *first_with_address(void)
{
    struct net_device *device;

    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        if (ipv4_address_of(device) != 0) {
            return device;
        }
    }
    return NULL;
}

struct net_device *ipv4_route(uint32_t destination, uint32_t *next_hop)
{
    struct net_device *device = net_config_owner(destination);

    *next_hop = destination;
    if (device != NULL) {
        return device;
    }
    if (destination == IPV4_BROADCAST) {
        return first_with_address();
    }
    if (destination >= IPV4_FIRST_GROUP || destination >> 24 == IPV4_LOOPBACK_NETWORK ||
        destination >> 24 == 0) {
        return NULL;
    }
    device = device_on_net_of(destination);
    if (device == NULL && net_config_gateway() != 0) {
        *next_hop = net_config_gateway();
        device = device_on_net_of(*next_hop);
    }
    return device;
}

static void count_sent(uint8_t protocol)
{
    net_count(protocol == IPV4_PROTOCOL_UDP ? NET_SENT_UDP : NET_SENT_ICMP);
}

/* Identification 0: a packet that may not be fragmented needs none (RFC 6864, section 4.1). */
static void header_put(struct packet *packet, uint32_t source, uint32_t destination,
                       uint8_t protocol)
{
    uint8_t *header = packet_prepend(packet, IPV4_HEADER_BYTES);

    wire_put16(header + IPV4_VERSION, VERSION_AND_LENGTH << 8);
    wire_put16(header + IPV4_TOTAL_LENGTH, (uint16_t)packet->length);
    wire_put16(header + IPV4_IDENTIFICATION, 0);
    wire_put16(header + IPV4_FRAGMENT, IPV4_DO_NOT_FRAGMENT);
    wire_put16(header + IPV4_TIME_TO_LIVE, (uint16_t)(IPV4_TTL << 8 | protocol));
    wire_put16(header + IPV4_CHECKSUM, 0);
    wire_put32(header + IPV4_SOURCE, source);
    wire_put32(header + IPV4_DESTINATION, destination);
    wire_put16(header + IPV4_CHECKSUM, checksum_finish(checksum_add(0, header, IPV4_HEADER_BYTES)));
}

void ipv4_send_to_station(struct net_device *device, const uint8_t mac[MAC_BYTES],
                          struct packet *packet)
{
    uint8_t protocol = packet->data[IPV4_PROTOCOL]; /* the packet is not ours afterwards */

    if (ethernet_send(device, mac, ETHERTYPE_IPV4, packet)) {
        count_sent(protocol);
    }
}

/* To ourselves: a frame as if it had come over a wire, @answers deep in answers to such frames. */
static void send_to_ourselves(struct packet *packet, const struct net_device *owner,
                              unsigned answers, uint8_t protocol)
{
    count_sent(protocol);
    ethernet_put_header(packet, owner->mac, owner->mac, ETHERTYPE_IPV4);
    packet->device = NULL;
    packet->queue = (uint16_t)answers;
    net_receive_own(packet);
}

void ipv4_send(struct net_device *device, uint32_t source, uint32_t destination, uint8_t protocol,
               struct packet *packet)
{
    struct net_device *owner = net_config_owner(destination);
    uint32_t next_hop;

    if (device == NULL) {
        device = ipv4_route(destination, &next_hop);
    } else {
        next_hop = owner != NULL ? destination : next_hop_from(device, destination);
    }
    if (device == NULL || next_hop == 0) {
        net_drop(packet, NET_DROP_NO_ROUTE);
        return;
    }
    source = source != 0 ? source : ipv4_address_of(device);
    if (source == 0 && !ipv4_is_broadcast_on(device, destination)) {
        net_drop(packet, NET_DROP_NO_ADDRESS);
        return;
    }
    header_put(packet, source, destination, protocol);
    if (owner != NULL) {
        send_to_ourselves(packet, owner, 0, protocol);
    } else if (ipv4_is_broadcast_on(device, destination)) {
        ipv4_send_to_station(device, mac_broadcast, packet);
    } else {
        arp_send_ipv4(device, next_hop, packet);
    }
}

/* Writes a word of a header whose checksum is right, and stays so. */
static void header_set16(uint8_t *header, unsigned offset, uint16_t value)
{
    uint16_t old = wire_get16(header + offset);

    if (old != value) {
        wire_put16(header + offset, value);
        wire_put16(header + IPV4_CHECKSUM,
                   checksum_replace16(wire_get16(header + IPV4_CHECKSUM), old, value));
    }
}

/* Makes the received header in front of the data that of the answer. Exchanging two addresses
 * leaves the checksum as it is. */
static void header_turn(struct packet *packet, const struct ipv4_receipt *receipt, uint8_t protocol)
{
    uint8_t *header = packet_prepend(packet, IPV4_HEADER_BYTES);

    wire_put32(header + IPV4_SOURCE, receipt->destination);
    wire_put32(header + IPV4_DESTINATION, receipt->source);
    header_set16(header, IPV4_TOTAL_LENGTH, (uint16_t)packet->length);
    header_set16(header, IPV4_TIME_TO_LIVE, (uint16_t)(IPV4_TTL << 8 | protocol));
}

/* The machine answers itself. Two services that answer each other's answers would do so for ever,
 * deeper and deeper on one stack. */
static bool answer_ourselves(struct packet *packet, const struct ipv4_receipt *receipt,
                             uint8_t protocol)
{
    struct net_device *owner = net_config_owner(receipt->source);

    if (owner == NULL || packet->queue >= ANSWERS_TO_OWN_MAX) {
        net_drop(packet, NET_DROP_ANSWER);
        return false;
    }
    send_to_ourselves(packet, owner, packet->queue + 1u, protocol);
    return true;
}

bool ipv4_send_back(struct packet *packet, const struct ipv4_receipt *receipt, uint8_t protocol)
{
    uint8_t station[MAC_BYTES];

    if (receipt->is_broadcast) {
        net_drop(packet, NET_DROP_ANSWER);
        return false;
    }
    /* Before a new header may be written over it. */
    __builtin_memcpy(station, receipt->header - ETHERNET_HEADER_BYTES + MAC_BYTES, MAC_BYTES);
    if (packet->data == receipt->header + IPV4_HEADER_BYTES &&
        receipt->header_length == IPV4_HEADER_BYTES) {
        header_turn(packet, receipt, protocol);
    } else {
        header_put(packet, receipt->destination, receipt->source, protocol);
    }
    if (packet->device == NULL) {
        return answer_ourselves(packet, receipt, protocol);
    }
    ethernet_put_header(packet, station, packet->device->mac, ETHERTYPE_IPV4);
    if (!net_device_transmit(packet->device, packet->queue, packet)) {
        return false;
    }
    count_sent(protocol);
    return true;
}
