// SPDX-License-Identifier: MIT
/* Frames for fuzz_packet.c; see packet_form.h. */
#include "tests/fuzz/packet_form.h"

#include <string.h>

#include "net/wire.h"
#include "tests/fuzz/check.h"

enum { ETHERNET = 14, IP = 20, UDP = 8, ICMP = 8, ARP = 28, SHORTEST = 60, LONGEST = 1514 };
enum { TYPE_IPV4 = 0x0800, TYPE_ARP = 0x0806, PROTOCOL_ICMP = 1, PROTOCOL_UDP = 17 };

const uint8_t mac_of_all[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
static const uint8_t peer_mac[6] = {2, 0, 0, 0, 0, 0x99};

static uint16_t plain_checksum(uint64_t sum, const uint8_t *bytes, uint32_t length)
{
    for (uint32_t i = 0; i < length; i++) {
        sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
    }
    while (sum > 0xffff) {
        sum = sum % 0x10000 + sum / 0x10000;
    }
    return (uint16_t)(0xffff - sum);
}

static void ethernet_fill(const struct packet_form *form, uint16_t type)
{
    memcpy(form->bytes, form->destination_mac, 6);
    memcpy(form->bytes + 6, peer_mac, 6);
    wire_put16(form->bytes + 12, type);
}

void packet_form_arp(const struct packet_form *form, unsigned operation)
{
    static const uint8_t start[] = {0, 1, 8, 0, 6, 4, 0};
    uint8_t *arp = form->bytes + ETHERNET;

    ethernet_fill(form, TYPE_ARP);
    memcpy(arp, start, sizeof(start));
    arp[7] = (uint8_t)operation;
    memcpy(arp + 8, peer_mac, 6);
    wire_put32(arp + 14, form->source);
    wire_put32(arp + 24, form->destination);
}

void packet_form_ipv4(const struct packet_form *form, uint8_t protocol)
{
    uint8_t *ip = form->bytes + ETHERNET;

    ethernet_fill(form, TYPE_IPV4);
    ip[0] = (uint8_t)(0x45 + form->options_length / 4);
    wire_put16(ip + 2, (uint16_t)(IP + form->options_length + form->payload));
    ip[8] = 64;
    ip[9] = protocol;
    wire_put32(ip + 12, form->source);
    wire_put32(ip + 16, form->destination);
    memcpy(ip + IP, form->options, form->options_length);
}

void packet_form_udp(const struct packet_form *form)
{
    struct packet_form whole = *form;
    uint8_t *udp = form->bytes + ETHERNET + IP + form->options_length;

    whole.payload += UDP;
    packet_form_ipv4(&whole, PROTOCOL_UDP);
    wire_put16(udp, form->source_port);
    wire_put16(udp + 2, form->destination_port);
    wire_put16(udp + 4, (uint16_t)whole.payload);
}

void packet_form_icmp(const struct packet_form *form, unsigned type, unsigned code)
{
    struct packet_form whole = *form;
    uint8_t *icmp = form->bytes + ETHERNET + IP + form->options_length;

    whole.payload += ICMP;
    packet_form_ipv4(&whole, PROTOCOL_ICMP);
    icmp[0] = (uint8_t)type;
    icmp[1] = (uint8_t)code;
}

uint32_t packet_form_length(const uint8_t *bytes)
{
    uint32_t length = wire_get16(bytes + 12) == TYPE_ARP
                          ? (uint32_t)(ETHERNET + ARP)
                          : ETHERNET + (uint32_t)wire_get16(bytes + ETHERNET + 2);

    return length > SHORTEST ? length : SHORTEST;
}

/* The bytes behind the IP header; 0 if there is no such header in @length bytes, or they do not
 * hold what it announces. */
static uint32_t transport_find(const uint8_t *bytes, uint32_t length, uint32_t *header)
{
    const uint8_t *ip = bytes + ETHERNET;
    uint32_t total;

    if (length < ETHERNET + IP || wire_get16(bytes + 12) != TYPE_IPV4) {
        return 0;
    }
    *header = (ip[0] & 15u) * 4;
    total = wire_get16(ip + 2);
    return *header >= IP && total > *header && ETHERNET + total <= length ? total - *header : 0;
}

static uint32_t pseudo_sum(const uint8_t *ip, uint32_t length)
{
    return (uint32_t)wire_get16(ip + 12) + wire_get16(ip + 14) + wire_get16(ip + 16) +
           wire_get16(ip + 18) + PROTOCOL_UDP + length;
}

static void payload_fix(uint8_t *ip, uint8_t *transport, uint32_t length)
{
    uint16_t checksum;

    if (ip[9] == PROTOCOL_ICMP && length >= ICMP) {
        wire_put16(transport + 2, 0);
        wire_put16(transport + 2, plain_checksum(0, transport, length));
    } else if (ip[9] == PROTOCOL_UDP && length >= UDP && wire_get16(transport + 4) <= length) {
        length = wire_get16(transport + 4);
        wire_put16(transport + 6, 0);
        checksum = plain_checksum(pseudo_sum(ip, length), transport, length);
        wire_put16(transport + 6, checksum != 0 ? checksum : 0xffff);
    }
}

void packet_form_fix(uint8_t *bytes, uint32_t length, bool of_header, bool of_payload)
{
    uint8_t *ip = bytes + ETHERNET;
    uint32_t header, payload = transport_find(bytes, length, &header);

    if (payload > 0 && of_payload) {
        payload_fix(ip, ip + header, payload);
    }
    if (length >= ETHERNET + IP && wire_get16(bytes + 12) == TYPE_IPV4 && of_header &&
        ETHERNET + (ip[0] & 15u) * 4 <= length) {
        wire_put16(ip + 10, 0);
        wire_put16(ip + 10, plain_checksum(0, ip, (ip[0] & 15u) * 4));
    }
}

static void exchange(uint8_t *left, uint8_t *right, unsigned length)
{
    for (unsigned i = 0; i < length; i++) {
        uint8_t byte = left[i];

        left[i] = right[i];
        right[i] = byte;
    }
}

void packet_form_turn(uint8_t *bytes, uint32_t length, const uint8_t own_mac[6])
{
    uint8_t *inner = bytes + ETHERNET;
    uint32_t header, payload = transport_find(bytes, length, &header);

    memcpy(bytes, own_mac, 6);
    memcpy(bytes + 6, peer_mac, 6);
    if (wire_get16(bytes + 12) == TYPE_ARP) {
        inner[7] = 2;
        exchange(inner + 14, inner + 24, 4);
        memcpy(inner + 8, peer_mac, 6);
        memcpy(inner + 18, own_mac, 6);
        return;
    }
    exchange(inner + 12, inner + 16, 4);
    if (payload >= ICMP && inner[9] == PROTOCOL_ICMP && inner[header] == 8) {
        inner[header] = 0;
    } else if (payload >= UDP && inner[9] == PROTOCOL_UDP) {
        exchange(inner + header, inner + header + 2, 2);
    }
}

static void payload_check(const uint8_t *ip, const uint8_t *transport, uint32_t length)
{
    if (ip[9] == PROTOCOL_ICMP) {
        FUZZ_CHECK(length >= ICMP && plain_checksum(0, transport, length) == 0,
                   "ICMP of %u bytes with a wrong checksum was sent", length);
    } else {
        FUZZ_CHECK(ip[9] == PROTOCOL_UDP, "protocol %u was sent", ip[9]);
        FUZZ_CHECK(length >= UDP && wire_get16(transport + 4) == length,
                   "UDP of %u bytes says that it has %u", length, wire_get16(transport + 4));
        FUZZ_CHECK(wire_get16(transport + 6) == 0 ||
                       plain_checksum(pseudo_sum(ip, length), transport, length) == 0,
                   "UDP with a wrong checksum was sent");
    }
}

bool packet_may_be_answered(const uint8_t *bytes, uint32_t length, const uint8_t own_mac[6])
{
    static const uint8_t nobody[6];
    const uint8_t *source = bytes + 6;

    return length >= ETHERNET && source[0] % 2 == 0 && memcmp(source, nobody, 6) != 0 &&
           memcmp(source, own_mac, 6) != 0 &&
           (bytes[0] % 2 == 0 || wire_get16(bytes + 12) == TYPE_ARP);
}

void packet_check_form(const uint8_t *bytes, uint32_t length, const uint8_t own_mac[6])
{
    const uint8_t *ip = bytes + ETHERNET;
    uint32_t header, payload;

    FUZZ_CHECK(length >= SHORTEST && length <= LONGEST, "%u bytes were sent", length);
    FUZZ_CHECK(memcmp(bytes + 6, own_mac, 6) == 0, "sent from another's address");
    if (wire_get16(bytes + 12) == TYPE_ARP) {
        FUZZ_CHECK(memcmp(bytes + ETHERNET + 8, own_mac, 6) == 0, "ARP for another");
        return;
    }
    FUZZ_CHECK(wire_get16(bytes + 12) == TYPE_IPV4, "type %x was sent", wire_get16(bytes + 12));
    payload = transport_find(bytes, length, &header);
    FUZZ_CHECK(payload > 0, "an IP header with wrong lengths was sent");
    FUZZ_CHECK(ip[0] == 0x45, "an IP header that begins with %x was sent", ip[0]);
    FUZZ_CHECK(wire_get32(ip + 12) < 0xe0000000 && ip[15] != 0xff, "sent from a broadcast address");
    FUZZ_CHECK(plain_checksum(0, ip, header) == 0, "an IP header with a wrong checksum was sent");
    payload_check(ip, ip + header, payload);
}
