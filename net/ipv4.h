// SPDX-License-Identifier: MIT
/* IPv4 (RFC 791) without fragments: those are counted and dropped. Invariant: what is handed to a
 * transport protocol has a right header checksum, a length that lies inside the frame, and is for
 * us. Addresses are in host byte order: 10.0.2.15 is 0x0a00020f. */
#pragma once

#include "net/packet.h"
#include "patching/dynamic_call.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IPV4_HEADER_BYTES  20
#define IPV4_PROTOCOL_ICMP 1
#define IPV4_PROTOCOL_UDP  17
#define IPV4_BROADCAST     UINT32_MAX
#define IPV4_TEXT_BYTES    16 /* "255.255.255.255" and NUL */
#define IPV4_TTL           64

/* What a transport protocol is told. */
struct ipv4_receipt {
    uint32_t source, destination;
    uint8_t *header;        /* in the packet's headroom */
    uint32_t header_length; /* with options */
    bool is_broadcast; /* the destination or the frame's is, or is not ours yet (DHCP): not answered
                        */
};

/* Takes a packet whose data stands behind the IP header. @receipt: until it returns. */
typedef void ipv4_protocol_receive(struct packet *packet, const struct ipv4_receipt *receipt);

/* A row of the table: whoever handles packets of protocol @number. */
struct ipv4_protocol {
    uint8_t number;
    ipv4_protocol_receive *receive;
};

/* The call that each packet is delivered by. */
DECLARE_DYNAMIC_CALL(ipv4_deliver, ipv4_protocol_receive, 2);

/* The protocol handler of ethertype 0x0800. Takes the packet, its data at the IP header. For us is
 * what is sent to the address of its device, to the broadcast address of its net, or to
 * 255.255.255.255. A device without an address takes broadcasts, and UDP to port 68 whatever the
 * address: the server may send the answer to the address that it offers (RFC 2131 section 4.1). */
void ipv4_receive(struct packet *packet);

/* Puts an IP header in front of the packet's data and sends it from @device, or from where the
 * route to @destination leads if @device is NULL: to a neighbour or through the gateway; ARP
 * resolves who that is, and keeps the packet meanwhile. Takes the packet in any case. A
 * @source of 0 is the device's own address. Context: thread or poll thread. */
void ipv4_send(struct net_device *device, uint32_t source, uint32_t destination, uint8_t protocol,
               struct packet *packet);

/* The device and next hop to @destination. Returns NULL if there is no way. */
struct net_device *ipv4_route(uint32_t destination, uint32_t *next_hop);

/* Sends a received packet back to where it came from, without asking ARP or the route: in place,
 * with what packet->data holds now behind the IP header; the transport header is the caller's. If
 * the data do not stand right behind an IP header of @protocol without options, a new one is put in
 * front of them. What was sent to a broadcast address is not answered: dropped, counted (RFC 1122
 * section 3.2.2). Takes the packet. Returns whether it went. */
bool ipv4_send_back(struct packet *packet, const struct ipv4_receipt *receipt, uint8_t protocol);

/* Sum of the pseudo header of UDP, to which checksum_add() adds the rest. */
static inline uint32_t ipv4_pseudo_header_sum(uint32_t source, uint32_t destination,
                                              uint8_t protocol, uint32_t length)
{
    return (source >> 16) + (source & 0xffff) + (destination >> 16) + (destination & 0xffff) +
           protocol + length;
}

/* Text forms. Reading takes the whole word or returns false; a prefix is 0..32 behind a slash. */
void ipv4_format(uint32_t address, char text[IPV4_TEXT_BYTES]);
bool ipv4_read(const char *text, uint32_t *address);
bool ipv4_read_with_prefix(const char *text, uint32_t *address, uint32_t *mask);
