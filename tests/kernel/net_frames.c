// SPDX-License-Identifier: MIT
/* Frames for tests; see net_frames.h. */
#include "tests/kernel/net_frames.h"

#include "kernel/string.h"
#include "net/wire.h"

#define TYPE_NOBODYS 0x88b5 /* for experiments (IEEE 802) */
#define TYPE_IPV4    0x0800
#define TYPE_ARP     0x0806
#define PROTOCOL_UDP 17
#define AT_IPV4      14 /* places in a frame */
#define AT_UDP       34

void frame_make(uint8_t frame[FRAME_BYTES_MIN], uint32_t word)
{
    memset(frame, 0, FRAME_BYTES_MIN);
    memset(frame, 0xff, MAC_BYTES);
    frame[6] = 0x02;
    frame[7] = 0x01; /* no card of fake_nic.c has that */
    wire_put16(frame + 12, TYPE_NOBODYS);
    wire_put32(frame + AT_IPV4, word);
}

uint32_t frame_word(const uint8_t *frame)
{
    return wire_get32(frame + AT_IPV4);
}

/* Of the UDP header and payload at @at and the addresses in front of them. */
static uint16_t udp_checksum(const uint8_t *frame, uint32_t length)
{
    uint32_t sum = checksum_add(PROTOCOL_UDP + length, frame + AT_IPV4 + 12, 8);

    return checksum_finish(checksum_add(sum, frame + AT_UDP, length));
}

uint32_t frame_make_udp(uint8_t *frame, const struct frame_udp *udp)
{
    uint32_t length = FRAME_UDP_HEADERS + udp->length;
    uint16_t checksum;

    memset(frame, 0, length < FRAME_BYTES_MIN ? FRAME_BYTES_MIN : FRAME_UDP_HEADERS);
    memcpy(frame, udp->to, MAC_BYTES);
    memcpy(frame + 6, udp->from, MAC_BYTES);
    wire_put16(frame + 12, TYPE_IPV4);
    frame[AT_IPV4] = 0x45; /* version 4, five words of header */
    wire_put16(frame + AT_IPV4 + 2, (uint16_t)(length - AT_IPV4));
    frame[AT_IPV4 + 8] = 64; /* time to live */
    frame[AT_IPV4 + 9] = PROTOCOL_UDP;
    wire_put32(frame + AT_IPV4 + 12, udp->source);
    wire_put32(frame + AT_IPV4 + 16, udp->destination);
    wire_put16(frame + AT_IPV4 + 10, checksum_finish(checksum_add(0, frame + AT_IPV4, 20)));
    wire_put16(frame + AT_UDP, udp->source_port);
    wire_put16(frame + AT_UDP + 2, udp->destination_port);
    wire_put16(frame + AT_UDP + 4, (uint16_t)(length - AT_UDP));
    memcpy(frame + FRAME_UDP_HEADERS, udp->payload, udp->length);
    checksum = udp_checksum(frame, length - AT_UDP);
    wire_put16(frame + AT_UDP + 6, checksum != 0 ? checksum : 0xffff);
    return length < FRAME_BYTES_MIN ? FRAME_BYTES_MIN : length;
}

bool frame_read_udp(const uint8_t *frame, uint32_t length, struct frame_udp *udp)
{
    if (length < FRAME_BYTES_MIN || length > FRAME_BYTES_MAX ||
        wire_get16(frame + 12) != TYPE_IPV4 || frame[AT_IPV4] != 0x45 ||
        frame[AT_IPV4 + 9] != PROTOCOL_UDP ||
        checksum_finish(checksum_add(0, frame + AT_IPV4, 20)) != 0) {
        return false;
    }

    uint32_t total = wire_get16(frame + AT_IPV4 + 2);
    uint32_t udp_length = wire_get16(frame + AT_UDP + 4);

    if (total + AT_IPV4 > length || udp_length < 8 || udp_length != total - 20 ||
        (length > FRAME_BYTES_MIN && total + AT_IPV4 != length)) {
        return false;
    }
    *udp = (struct frame_udp){
        .to = frame,
        .from = frame + 6,
        .source = wire_get32(frame + AT_IPV4 + 12),
        .destination = wire_get32(frame + AT_IPV4 + 16),
        .source_port = wire_get16(frame + AT_UDP),
        .destination_port = wire_get16(frame + AT_UDP + 2),
        .payload = frame + FRAME_UDP_HEADERS,
        .length = udp_length - 8,
    };
    return wire_get16(frame + AT_UDP + 6) == 0 || udp_checksum(frame, udp_length) == 0;
}

void frame_make_arp(uint8_t frame[FRAME_BYTES_MIN], uint16_t operation, const uint8_t *sender_mac,
                    uint32_t sender, const uint8_t *target_mac, uint32_t target)
{
    memset(frame, 0, FRAME_BYTES_MIN);
    memcpy(frame, target_mac, MAC_BYTES);
    memcpy(frame + 6, sender_mac, MAC_BYTES);
    wire_put16(frame + 12, TYPE_ARP);
    wire_put16(frame + 14, 1); /* ethernet */
    wire_put16(frame + 16, TYPE_IPV4);
    frame[18] = MAC_BYTES;
    frame[19] = 4; /* bytes of an address */
    wire_put16(frame + 20, operation);
    memcpy(frame + 22, sender_mac, MAC_BYTES);
    wire_put32(frame + 28, sender);
    memcpy(frame + 32, target_mac, MAC_BYTES);
    wire_put32(frame + 38, target);
}

void bytes_fill(uint8_t *bytes, uint32_t length, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;

    for (uint32_t i = 0; i < length; i++) {
        state = state * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(state >> 24);
    }
}
