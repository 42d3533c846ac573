// SPDX-License-Identifier: MIT
/* Packet generator: frames made and looked at. Invariant: the bytes of a frame follow from the
 * settings and its sequence number alone, so an answer can be judged without keeping what was sent.
 * Callers: pktgen_send.c, pktgen_receive.c. */
#include "pktgen.h"

#include <string.h>

#define AT_ETHERTYPE   12
#define AT_IP          14
#define AT_UDP         34
#define SEQUENCE_BYTES 8
#define PATTERN_STARTS 4096u
#define ETHERTYPE_IP   0x0800
#define ETHERTYPE_ARP  0x0806
#define ARP_FRAME      42
#define PROTOCOL_UDP   17

static uint8_t pattern[PATTERN_STARTS + FRAME_MAX];

static uint16_t get16(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)get16(at) << 16 | get16(at + 2);
}

static void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value & 0xffff);
}

/* Bytes without a period that a shifted or repeated buffer could hide in. */
void pattern_initialize(void)
{
    uint64_t state = 0x9e3779b97f4a7c15u;

    for (size_t i = 0; i < sizeof pattern; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        pattern[i] = (uint8_t)(state >> 32);
    }
}

static const uint8_t *pattern_of(uint64_t sequence)
{
    return pattern + (sequence * 0x9e3779b97f4a7c15u >> 40) % PATTERN_STARTS;
}

unsigned frame_size(const struct settings *settings, uint64_t sequence)
{
    return settings->size_first +
           (unsigned)(sequence % (settings->size_last - settings->size_first + 1));
}

/* Sum of 16-bit words, big-endian (RFC 1071): added up as 32-bit words of this machine's order, for
 * the sum of swapped words is the swapped sum. */
static uint16_t checksum(uint32_t start, const uint8_t *bytes, size_t length)
{
    uint64_t sum = 0;
    uint32_t word;
    size_t i;

    for (i = 0; i + 4 <= length; i += 4) {
        memcpy(&word, bytes + i, 4);
        sum += word;
    }
    word = 0;
    memcpy(&word, bytes + i, length - i);
    sum += word;
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum = (sum >> 8 | (sum & 0xff) << 8) + start;
    while (sum >> 16 != 0) {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    return (uint16_t)~sum;
}

/* Of the UDP datagram at @ip + 20, its checksum field as it stands: 0 if that is right. */
static uint16_t udp_checksum(const uint8_t *ip, unsigned udp_length)
{
    uint32_t addresses =
        (uint32_t)get16(ip + 12) + get16(ip + 14) + get16(ip + 16) + get16(ip + 18);

    return checksum(addresses + PROTOCOL_UDP + udp_length, ip + 20, udp_length);
}

static unsigned local_port(const struct settings *settings, uint64_t sequence)
{
    return settings->local.port + (unsigned)(sequence % settings->flows);
}

static uint32_t local_address(const struct settings *settings, uint64_t sequence)
{
    return settings->local.address + (uint32_t)(sequence % settings->hosts);
}

static bool is_local_address(const struct settings *settings, uint32_t address)
{
    return address - settings->local.address < settings->hosts;
}

static void put_sequence(uint8_t *at, uint64_t sequence)
{
    put32(at, (uint32_t)(sequence >> 32));
    put32(at + 4, (uint32_t)sequence);
}

void frame_build(const struct settings *settings, uint64_t sequence, struct frame *frame)
{
    uint8_t *bytes = frame->bytes, *ip = bytes + AT_IP, *udp = bytes + AT_UDP;
    unsigned length = frame_size(settings, sequence);

    memcpy(bytes, settings->remote.mac, 6);
    memcpy(bytes + 6, settings->local.mac, 6);
    put16(bytes + AT_ETHERTYPE, ETHERTYPE_IP);
    memcpy(ip, "\x45\0\0\0\0\0\x40\0\x40\x11\0\0", 12); /* do not fragment, 64 hops, UDP */
    put16(ip + 2, length - AT_IP);
    put32(ip + 12, local_address(settings, sequence));
    put32(ip + 16, settings->remote.address);
    put16(ip + 10, checksum(0, ip, 20));
    put16(udp, local_port(settings, sequence));
    put16(udp + 2, settings->remote.port);
    put16(udp + 4, length - AT_UDP);
    put16(udp + 6, 0);
    put_sequence(bytes + HEADERS_BYTES, sequence);
    memcpy(bytes + HEADERS_BYTES + SEQUENCE_BYTES, pattern_of(sequence),
           length - HEADERS_BYTES - SEQUENCE_BYTES);
    uint16_t sum = udp_checksum(ip, length - AT_UDP);
    put16(udp + 6, sum != 0 ? sum : 0xffff);
    frame->length = length;
}

static enum frame_is parse_arp(const struct settings *settings, const struct frame *frame)
{
    const uint8_t *arp = frame->bytes + AT_IP;

    if (frame->length < ARP_FRAME || get32(arp) != 0x00010800 || get16(arp + 4) != 0x0604 ||
        !is_local_address(settings, get32(arp + 24))) {
        return FRAME_OTHER;
    }
    switch (get16(arp + 6)) {
    case 1:
        return FRAME_ARP_REQUEST;
    case 2:
        return get32(arp + 14) == settings->remote.address ? FRAME_ARP_ANSWER : FRAME_OTHER;
    default:
        return FRAME_OTHER;
    }
}

enum frame_is frame_parse(const struct settings *settings, const struct frame *frame)
{
    const uint8_t *ip = frame->bytes + AT_IP, *udp = frame->bytes + AT_UDP;

    if (frame->length < AT_IP) {
        return FRAME_OTHER;
    }
    if (get16(frame->bytes + AT_ETHERTYPE) == ETHERTYPE_ARP) {
        return parse_arp(settings, frame);
    }
    if (get16(frame->bytes + AT_ETHERTYPE) != ETHERTYPE_IP || frame->length < HEADERS_BYTES ||
        ip[0] != 0x45 || ip[9] != PROTOCOL_UDP) {
        return FRAME_OTHER;
    }
    unsigned flow = (unsigned)get16(udp + 2) - settings->local.port;
    bool is_answer = get32(ip + 12) == settings->remote.address &&
                     is_local_address(settings, get32(ip + 16)) &&
                     get16(udp) == settings->remote.port && flow < settings->flows;
    return is_answer ? FRAME_ANSWER : FRAME_UDP;
}

bool frame_answer_is_right(const struct settings *settings, const struct frame *frame,
                           uint64_t sequence_end, uint64_t *sequence)
{
    const uint8_t *ip = frame->bytes + AT_IP, *udp = frame->bytes + AT_UDP;
    const uint8_t *payload = frame->bytes + HEADERS_BYTES;

    if (frame->length < FRAME_MIN) {
        return false;
    }
    *sequence = (uint64_t)get32(payload) << 32 | get32(payload + 4);
    return *sequence < sequence_end && frame->length == frame_size(settings, *sequence) &&
           memcmp(frame->bytes, settings->local.mac, 6) == 0 &&
           memcmp(frame->bytes + 6, settings->remote.mac, 6) == 0 &&
           get16(ip + 2) == frame->length - AT_IP && get16(udp + 4) == frame->length - AT_UDP &&
           get16(udp + 2) == local_port(settings, *sequence) &&
           get32(ip + 16) == local_address(settings, *sequence) && checksum(0, ip, 20) == 0 &&
           (get16(udp + 6) == 0 || udp_checksum(ip, get16(udp + 4)) == 0) &&
           memcmp(payload + SEQUENCE_BYTES, pattern_of(*sequence),
                  frame->length - HEADERS_BYTES - SEQUENCE_BYTES) == 0;
}

void frame_build_arp_request(const struct settings *settings, struct frame *frame)
{
    uint8_t *arp = frame->bytes + AT_IP;

    memset(frame->bytes, 0, FRAME_MIN);
    memset(frame->bytes, 0xff, 6);
    memcpy(frame->bytes + 6, settings->local.mac, 6);
    put16(frame->bytes + AT_ETHERTYPE, ETHERTYPE_ARP);
    memcpy(arp, "\0\1\x08\0\6\4\0\1", 8);
    memcpy(arp + 8, settings->local.mac, 6);
    put32(arp + 14, settings->local.address);
    put32(arp + 24, settings->remote.address);
    frame->length = FRAME_MIN;
}

/* In place: the asked becomes the sender. */
void frame_make_arp_answer(const struct settings *settings, struct frame *frame)
{
    uint8_t *arp = frame->bytes + AT_IP;
    uint32_t asked = get32(arp + 24);

    memcpy(frame->bytes, arp + 8, 6);
    memcpy(frame->bytes + 6, settings->local.mac, 6);
    arp[7] = 2;
    memmove(arp + 18, arp + 8, 10);
    memcpy(arp + 8, settings->local.mac, 6);
    put32(arp + 14, asked);
}

static void swap_bytes(uint8_t *a, uint8_t *b, size_t length)
{
    uint8_t kept[6];

    memcpy(kept, a, length);
    memcpy(a, b, length);
    memcpy(b, kept, length);
}

/* The checksums stay right: they sum the same words. */
void frame_reflect(struct frame *frame)
{
    swap_bytes(frame->bytes, frame->bytes + 6, 6);
    swap_bytes(frame->bytes + AT_IP + 12, frame->bytes + AT_IP + 16, 4);
    swap_bytes(frame->bytes + AT_UDP, frame->bytes + AT_UDP + 2, 2);
}
