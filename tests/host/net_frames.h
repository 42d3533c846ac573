// SPDX-License-Identifier: MIT
/* Frames for tests of net/, and what must become of them. Invariant: nothing of net/ makes or
 * checks a frame here; the checksum is computed byte by byte. Used by: net_*.c. */
#pragma once

#include "tests/host/host_test.h"
#include "tests/host/net_fake_device.h"
#include "tests/host/net_fake_kernel.h"

#define OWN_ADDRESS   0x0a000001u /* 10.0.0.1/24: nic0 */
#define PEER_ADDRESS  0x0a000002u
#define GATE_ADDRESS  0x0a0000feu
#define FAR_ADDRESS   0x08080808u
#define NET_MASK      0xffffff00u
#define NET_BROADCAST 0x0a0000ffu
#define SECOND        1000000000ull

#define AT_IPV4 14 /* offsets in a frame without IP options */
#define AT_ICMP 34
#define AT_UDP  34
#define AT_DATA 42

extern struct net_device *nic;
extern const uint8_t own_mac[6], peer_mac[6], all_mac[6];

struct frame {
    uint8_t bytes[PACKET_BUFFER_BYTES];
    uint32_t length;
};

/* Fresh devices, tables and counters; nic0 as above, gateway GATE_ADDRESS. First line of a test. */
void net_begin(void);
/* The pool is full, nothing else was counted or sent. Last line of a test. */
void net_end(void);

/* What was counted so far is not looked at. */
void net_counters_take(void);

/* RFC 1071 over two pieces, the second may be empty. */
uint16_t plain_checksum(const uint8_t *bytes, size_t length, uint32_t sum);

/* Whole frames from the peer to us, right in all fields. @data NULL: a pattern. */
void frame_ethernet(struct frame *frame, const uint8_t *destination, uint16_t type);
void frame_arp(struct frame *frame, unsigned operation, const uint8_t *sender_mac, uint32_t sender,
               uint32_t target);
void frame_ipv4(struct frame *frame, uint8_t protocol, uint32_t source, uint32_t destination,
                const uint8_t *options, unsigned options_length, uint32_t payload);
void frame_icmp(struct frame *frame, unsigned type, unsigned code, uint32_t payload);
void frame_udp(struct frame *frame, uint16_t from, uint16_t to, uint32_t payload);

/* After a change: the header checksum / the ICMP or UDP checksum is right again. */
void frame_fix_ipv4(struct frame *frame);
void frame_fix_icmp(struct frame *frame);
void frame_fix_udp(struct frame *frame);

void put16(uint8_t *at, unsigned value);
void put32(uint8_t *at, uint32_t value);
unsigned get16(const uint8_t *at);
uint32_t get32(const uint8_t *at);

/* nic0 receives it; the bytes behind it are 0xaa. */
void receive(const struct frame *frame);

/* Since the last call exactly these counters (ended by -1) went up, by one for each mention. */
void expect_counted(int first, ...);
/* Frame @index of those sent since net_begin() is this one, byte for byte. */
void expect_sent(unsigned index, const uint8_t *bytes, uint32_t length);
