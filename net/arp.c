// SPDX-License-Identifier: MIT
/* ARP on the wire; see arp.h. Invariant: an address is learnt only if somebody here asked for it,
 * so no flood of frames can fill the table. Called by ethernet.c, ipv4_send.c, net_config.c. */
#include "net/arp.h"

#include "arch/clock.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "net/arp_table.h"
#include "net/counters.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/ipv4_header.h"
#include "net/housekeeping.h"
#include "net/wire.h"

#define CONFLICT_LOG_NS (60 * 1000000000ull)

/* A packet for Ethernet and IPv4 (RFC 826), by offsets. */
enum {
    ARP_HARDWARE = 0,
    ARP_PROTOCOL = 2,
    ARP_LENGTHS = 4,
    ARP_OPERATION = 6,
    ARP_SENDER_MAC = 8,
    ARP_SENDER_ADDRESS = 14,
    ARP_TARGET_MAC = 18,
    ARP_TARGET_ADDRESS = 24,
    ARP_BYTES = 28
};
enum { ARP_REQUEST = 1, ARP_REPLY = 2 };
enum { ARP_HARDWARE_ETHERNET = 1, ARP_LENGTHS_ETHERNET_IPV4 = MAC_BYTES << 8 | 4 };

static void packet_fill(uint8_t *arp, const struct net_device *device, uint16_t operation,
                        uint32_t sender, const uint8_t *target_mac, uint32_t target)
{
    wire_put16(arp + ARP_HARDWARE, ARP_HARDWARE_ETHERNET);
    wire_put16(arp + ARP_PROTOCOL, ETHERTYPE_IPV4);
    wire_put16(arp + ARP_LENGTHS, ARP_LENGTHS_ETHERNET_IPV4);
    wire_put16(arp + ARP_OPERATION, operation);
    memcpy(arp + ARP_SENDER_MAC, device->mac, MAC_BYTES);
    wire_put32(arp + ARP_SENDER_ADDRESS, sender);
    memcpy(arp + ARP_TARGET_MAC, target_mac, MAC_BYTES);
    wire_put32(arp + ARP_TARGET_ADDRESS, target);
}

static void ask(struct net_device *device, uint32_t target)
{
    static const uint8_t nobody[MAC_BYTES];
    struct packet *packet = packet_allocate(device->pool);

    if (packet == NULL) {
        net_count(NET_DROP_NO_PACKET);
        return;
    }
    packet_fill(packet_append(packet, ARP_BYTES), device, ARP_REQUEST, ipv4_address_of(device),
                nobody, target);
    if (ethernet_send(device, mac_broadcast, ETHERTYPE_ARP, packet)) {
        net_count(NET_SENT_ARP);
    }
}

/* In place, to the station that asked. */
static void answer(struct packet *packet)
{
    uint8_t *arp = packet->data, station[MAC_BYTES];
    struct net_device *device = packet->device;

    memcpy(station, arp + ARP_SENDER_MAC, MAC_BYTES);
    packet_fill(arp, device, ARP_REPLY, ipv4_address_of(device), station,
                wire_get32(arp + ARP_SENDER_ADDRESS));
    packet->length = ARP_BYTES;
    ethernet_put_header(packet, station, device->mac, ETHERTYPE_ARP);
    if (net_device_transmit(device, packet->queue, packet)) {
        net_count(NET_SENT_ARP);
    }
}

/* Who has no address yet asks with sender 0; who has our address is looked at later. */
static bool sender_is_sane(const struct net_device *device, const uint8_t *arp)
{
    uint32_t sender = wire_get32(arp + ARP_SENDER_ADDRESS);

    return mac_is_other_station(arp + ARP_SENDER_MAC, device->mac) &&
           (sender == 0 || ipv4_is_host_on(device, sender));
}

static bool is_well_formed(const struct packet *packet)
{
    const uint8_t *arp = packet->data;
    uint16_t operation;

    if (packet->length < ARP_BYTES || wire_get16(arp + ARP_HARDWARE) != ARP_HARDWARE_ETHERNET ||
        wire_get16(arp + ARP_PROTOCOL) != ETHERTYPE_IPV4 ||
        wire_get16(arp + ARP_LENGTHS) != ARP_LENGTHS_ETHERNET_IPV4) {
        return false;
    }
    operation = wire_get16(arp + ARP_OPERATION);
    return (operation == ARP_REQUEST || operation == ARP_REPLY) &&
           sender_is_sane(packet->device, arp);
}

/* Another station says that it has our address. */
static void report_conflict(const struct net_device *device, uint32_t address, const uint8_t *mac)
{
    static uint64_t last_ns[NET_DEVICE_MAX]; /* atomic; 0: never */
    uint64_t *reported_ns = &last_ns[device->index];
    uint64_t now_ns = clock_now_ns(), before_ns = __atomic_load_n(reported_ns, __ATOMIC_RELAXED);
    char text[IPV4_TEXT_BYTES];

    if ((before_ns != 0 && now_ns - before_ns < CONFLICT_LOG_NS) ||
        !__atomic_compare_exchange_n(reported_ns, &before_ns, now_ns, false, __ATOMIC_RELAXED,
                                     __ATOMIC_RELAXED)) {
        return;
    }
    ipv4_format(address, text);
    log_warning("%s: our address %s is also used by %02x:%02x:%02x:%02x:%02x:%02x", device->name,
                text, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

/* Sends what waited for @mac. */
static void send_waiting(struct net_device *device, const uint8_t *mac, struct packet *waiting)
{
    while (waiting != NULL) {
        struct packet *packet = waiting;

        waiting = packet->next;
        packet->next = NULL;
        ipv4_send_to_station(device, mac, packet);
    }
}

void arp_receive(struct packet *packet)
{
    const uint8_t *arp = packet->data;
    struct net_device *device = packet->device;
    struct packet *waiting;
    uint32_t own, sender;
    uint8_t mac[MAC_BYTES];

    net_count(NET_RECEIVED_ARP);
    if (device == NULL || !is_well_formed(packet)) {
        net_drop(packet, NET_DROP_ARP_MALFORMED);
        return;
    }
    own = ipv4_address_of(device);
    sender = wire_get32(arp + ARP_SENDER_ADDRESS);
    memcpy(mac, arp + ARP_SENDER_MAC, MAC_BYTES);
    if (own != 0 && sender == own) {
        report_conflict(device, own, mac);
        net_drop(packet, NET_DROP_ARP_CONFLICT);
        return;
    }
    bool is_learnt = sender != 0 && arp_table_learn(device, sender, mac, clock_now_ns(), &waiting);
    if (own != 0 && wire_get32(arp + ARP_TARGET_ADDRESS) == own &&
        wire_get16(arp + ARP_OPERATION) == ARP_REQUEST) {
        answer(packet);
    } else if (is_learnt) {
        packet_free(packet);
    } else {
        net_drop(packet, NET_DROP_ARP_NOT_FOR_US);
    }
    if (is_learnt) {
        send_waiting(device, mac, waiting);
    }
}

void arp_send_ipv4(struct net_device *device, uint32_t next_hop, struct packet *packet)
{
    uint8_t mac[MAC_BYTES];

    switch (arp_table_resolve(device, next_hop, packet, clock_now_ns(), mac)) {
    case ARP_ANSWER_KNOWN:
        ipv4_send_to_station(device, mac, packet);
        break;
    case ARP_ANSWER_ASK:
        ask(device, next_hop);
        net_housekeeping_wake(); /* repeats the question */
        break;
    case ARP_ANSWER_WAIT:
        break;
    }
}

void arp_tick(uint64_t now_ns)
{
    struct net_device *device;
    uint32_t address;

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        if (arp_table_age(i, now_ns, &device, &address)) {
            ask(device, address);
        }
    }
}

void arp_announce(struct net_device *device)
{
    uint32_t own = ipv4_address_of(device);

    if (own != 0) {
        ask(device, own); /* whoever knows us takes the new MAC address from it (RFC 5227) */
    }
}
