// SPDX-License-Identifier: MIT
/* Frames for fuzz_packet.c: makes good ones, mends checksums of changed ones, and judges what was
 * sent. Invariant: shares no code with net/ but the numbers of wire.h; the checksum is computed a
 * byte at a time. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern const uint8_t mac_of_all[6];

struct packet_form {
    uint8_t *bytes; /* zeroed, room for any frame */
    const uint8_t *destination_mac;
    uint32_t source, destination;
    const uint8_t *options;
    uint32_t options_length; /* a multiple of 4 */
    uint16_t source_port, destination_port;
    uint32_t payload; /* bytes behind the last header */
};

void packet_form_arp(const struct packet_form *form, unsigned operation);
void packet_form_ipv4(const struct packet_form *form, uint8_t protocol);
void packet_form_udp(const struct packet_form *form);
void packet_form_icmp(const struct packet_form *form, unsigned type, unsigned code);

/* The length of a frame that one of these has made. */
uint32_t packet_form_length(const uint8_t *bytes);

/* Makes the checksums right, where the headers lie inside @length. */
void packet_form_fix(uint8_t *bytes, uint32_t length, bool of_header, bool of_payload);

/* Makes a frame that was sent what comes back: addresses exchanged, an echo request its reply, an
 * ARP question its answer. To be mended by packet_form_fix(). */
void packet_form_turn(uint8_t *bytes, uint32_t length, const uint8_t own_mac[6]);

/* Whether a received frame may be answered: not one from a group, nobody or ourselves, nor an IP
 * packet in a frame to a group. ARP is asked of all. */
bool packet_may_be_answered(const uint8_t *bytes, uint32_t length, const uint8_t own_mac[6]);

/* Aborts unless a frame that was sent has the right source, lengths and checksums. */
void packet_check_form(const uint8_t *bytes, uint32_t length, const uint8_t own_mac[6]);
