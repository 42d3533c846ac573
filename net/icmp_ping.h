// SPDX-License-Identifier: MIT
/* The waiting side of ping, as icmp.c sees it. Others use icmp.h. */
#pragma once

#include "net/ipv4.h"
#include "net/packet.h"

enum {
    ICMP_ECHO_REPLY = 0,
    ICMP_UNREACHABLE = 3,
    ICMP_ECHO_REQUEST = 8,
    ICMP_TIME_EXCEEDED = 11,
};
enum { ICMP_TYPE = 0, ICMP_CODE = 1, ICMP_CHECKSUM = 2, ICMP_IDENTIFIER = 4, ICMP_SEQUENCE = 6 };

/* Data at the ICMP header of an echo reply / of an error, of ICMP_HEADER_BYTES or more, checksum
 * right. Return whether somebody waits for it; the packet stays the caller's. */
bool icmp_ping_take_reply(struct packet *packet, const struct ipv4_receipt *receipt);
bool icmp_ping_take_error(const struct packet *packet, const struct ipv4_receipt *receipt);
