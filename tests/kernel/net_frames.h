// SPDX-License-Identifier: MIT
/* Frames for tests: made, and read again without any code of net/ but its checksum. Invariant: a
 * frame that is made here is right in every field. Callers: the suites of the network. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "net/net_device.h"
#include "net/packet.h"

#define FRAME_UDP_HEADERS 42 /* ethernet, IPv4, UDP */

/* A frame of 60 bytes to nobody's protocol (ethertype 0x88b5); @word stands behind its header. */
void frame_make(uint8_t frame[FRAME_BYTES_MIN], uint32_t word);
uint32_t frame_word(const uint8_t *frame);

struct frame_udp {
    const uint8_t *to, *from; /* MAC addresses */
    uint32_t source, destination;
    uint16_t source_port, destination_port;
    const uint8_t *payload;
    uint32_t length; /* of the payload */
};

/* Writes the frame, checksums included, padded to 60 bytes. Returns its length. */
uint32_t frame_make_udp(uint8_t *frame, const struct frame_udp *udp);

/* Reads a frame back; payload points into it. Returns false if anything in it is not as it must be:
 * types, lengths, checksums. */
bool frame_read_udp(const uint8_t *frame, uint32_t length, struct frame_udp *udp);

/* An ARP request or answer (@operation 1, 2); 60 bytes. */
void frame_make_arp(uint8_t frame[FRAME_BYTES_MIN], uint16_t operation, const uint8_t *sender_mac,
                    uint32_t sender, const uint8_t *target_mac, uint32_t target);

/* Bytes that look random and tell their place: equal only at equal @seed and index. */
void bytes_fill(uint8_t *bytes, uint32_t length, uint32_t seed);
