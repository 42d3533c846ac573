// SPDX-License-Identifier: MIT
/* Receiving IPv4; see ipv4.h. Invariant: nothing of a header is believed before its checksum is
 * right, and no length before it is compared with the frame's; one lookup by protocol and one call
 * of its handler a packet. Called by ethernet.c. */
#include "net/ipv4.h"

#include "net/counters.h"
#include "net/ethernet.h"
#include "net/icmp.h"
#include "net/ipv4_header.h"
#include "net/net_config.h"
#include "net/udp.h"
#include "net/wire.h"

#define OPTION_END           0
#define OPTION_NO_OPERATION  1
#define FRAGMENT_MASK        0xbfff /* reserved, more fragments, and the offset */
#define DHCP_CLIENT_PORT     68
#define DESTINATION_PORT     2 /* offset in a UDP header */
#define OPTION_LENGTH_OFFSET 1

DEFINE_DYNAMIC_CALL(ipv4_deliver, ipv4_protocol_receive, 2);

/* The most frequent first. */
static const struct ipv4_protocol ipv4_protocols[] = {
    {.number = IPV4_PROTOCOL_UDP, .receive = udp_receive},
    {.number = IPV4_PROTOCOL_ICMP, .receive = icmp_receive},
};

static const struct ipv4_protocol *protocol_find(uint8_t number)
{
    for (unsigned i = 0; i < sizeof(ipv4_protocols) / sizeof(ipv4_protocols[0]); i++) {
        if (ipv4_protocols[i].number == number) {
            return &ipv4_protocols[i];
        }
    }
    return NULL;
}

/* Whether the options in [@option, @end) follow each other without a gap. What they ask for is not
 * done: we are where the packet ends. */
static bool options_are_well_formed(const uint8_t *option, const uint8_t *end)
{
    while (option < end && *option != OPTION_END) {
        if (*option == OPTION_NO_OPERATION) {
            option++;
        } else if (end - option <= OPTION_LENGTH_OFFSET || option[OPTION_LENGTH_OFFSET] < 2 ||
                   option[OPTION_LENGTH_OFFSET] > end - option) {
            return false;
        } else {
            option += option[OPTION_LENGTH_OFFSET];
        }
    }
    return true;
}

/* Why the header cannot be used, or NET_COUNTER_COUNT. */
static enum net_counter form_obstacle(const struct packet *packet, uint32_t *header_length)
{
    const uint8_t *header = packet->data;
    uint32_t total;

    if (packet->length < IPV4_HEADER_BYTES) {
        return NET_DROP_IPV4_SHORT;
    }
    if (header[IPV4_VERSION] >> 4 != 4) {
        return NET_DROP_IPV4_VERSION;
    }
    *header_length = (header[IPV4_VERSION] & 0xfu) * 4;
    if (*header_length < IPV4_HEADER_BYTES || *header_length > packet->length) {
        return NET_DROP_IPV4_HEADER_LENGTH;
    }
    if (checksum_finish(checksum_add(0, header, *header_length)) != 0) {
        return NET_DROP_IPV4_CHECKSUM;
    }
    total = wire_get16(header + IPV4_TOTAL_LENGTH);
    if (total < *header_length || total > packet->length) {
        return NET_DROP_IPV4_TOTAL_LENGTH;
    }
    if (*header_length > IPV4_HEADER_BYTES &&
        !options_are_well_formed(header + IPV4_HEADER_BYTES, header + *header_length)) {
        return NET_DROP_IPV4_OPTIONS;
    }
    return NET_COUNTER_COUNT;
}

/* A DHCP server's answer may come to the address that we have not got yet. */
static bool is_to_dhcp_client(const struct ipv4_receipt *receipt)
{
    const uint8_t *header = receipt->header;
    uint32_t total = wire_get16(header + IPV4_TOTAL_LENGTH);

    return header[IPV4_PROTOCOL] == IPV4_PROTOCOL_UDP && receipt->destination != 0 &&
           receipt->destination < IPV4_FIRST_GROUP &&
           total >= receipt->header_length + UDP_HEADER_BYTES &&
           wire_get16(header + receipt->header_length + DESTINATION_PORT) == DHCP_CLIENT_PORT;
}

static bool is_for_us(const struct packet *packet, struct ipv4_receipt *receipt)
{
    const struct net_device *device = packet->device;
    uint32_t address;

    if (device == NULL) {
        return net_config_owner(receipt->destination) != NULL;
    }
    address = ipv4_address_of(device);
    if (receipt->destination == address && address != 0) {
        return true;
    }
    receipt->is_broadcast = ipv4_is_broadcast_on(device, receipt->destination) ||
                            (address == 0 && is_to_dhcp_client(receipt));
    return receipt->is_broadcast;
}

/* Whether an answer to the sender would go to one other host. Who has no address yet asks by
 * broadcast, with source 0. */
static bool source_is_sane(const struct packet *packet, const struct ipv4_receipt *receipt)
{
    uint32_t source = receipt->source;

    if (packet->device == NULL) {
        return true; /* our own */
    }
    if (source == 0) {
        return receipt->is_broadcast;
    }
    return ipv4_is_host_on(packet->device, source) && net_config_owner(source) == NULL;
}

/* Why a well-formed packet goes no further, or NET_COUNTER_COUNT. */
static enum net_counter address_obstacle(const struct packet *packet, struct ipv4_receipt *receipt)
{
    if (!is_for_us(packet, receipt)) {
        return NET_DROP_IPV4_NOT_FOR_US;
    }
    if (!source_is_sane(packet, receipt)) {
        return NET_DROP_IPV4_SOURCE;
    }
    if ((wire_get16(receipt->header + IPV4_FRAGMENT) & FRAGMENT_MASK) != 0) {
        return NET_DROP_IPV4_FRAGMENT;
    }
    /* Our own address in a frame to all is not to be answered either (RFC 1122, section 3.2.2). */
    receipt->is_broadcast |= mac_is_group(receipt->header - ETHERNET_HEADER_BYTES);
    return NET_COUNTER_COUNT;
}

void ipv4_receive(struct packet *packet)
{
    uint8_t *header = packet->data;
    struct ipv4_receipt receipt = {.header = header};
    const struct ipv4_protocol *protocol;
    enum net_counter obstacle;

    net_count(NET_RECEIVED_IPV4);
    obstacle = form_obstacle(packet, &receipt.header_length);
    if (obstacle == NET_COUNTER_COUNT) {
        receipt.source = wire_get32(header + IPV4_SOURCE);
        receipt.destination = wire_get32(header + IPV4_DESTINATION);
        obstacle = address_obstacle(packet, &receipt);
    }
    if (obstacle != NET_COUNTER_COUNT) {
        net_drop(packet, obstacle);
        return;
    }
    packet->length = wire_get16(header + IPV4_TOTAL_LENGTH); /* without the frame's padding */
    packet_pull(packet, receipt.header_length);
    protocol = protocol_find(header[IPV4_PROTOCOL]);
    if (protocol == NULL) {
        net_drop(packet, NET_DROP_IPV4_PROTOCOL);
        return;
    }
    dynamic_call(ipv4_deliver, protocol->receive, packet, &receipt);
}
