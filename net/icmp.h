// SPDX-License-Identifier: MIT
/* ICMP (RFC 792): answers echo requests; sends them for `ping` and tells who waits of the answers;
 * tells senders of closed ports. Invariant: an answer is as long as the question and carries its
 * bytes; nothing is answered that came by broadcast, and errors are sent
 * ICMP_ERRORS_PER_SECOND times a second at most. */
#pragma once

#include "net/ipv4.h"
#include "net/packet.h"

#include <stdbool.h>
#include <stdint.h>

#define ICMP_HEADER_BYTES 8
#define ICMP_PAYLOAD_MAX  1472

#define ICMP_ERRORS_PER_SECOND 10 /* after a pause as many at once */

/* Called by ipv4.c; data at the ICMP header. Takes the packet. */
void icmp_receive(struct packet *packet, const struct ipv4_receipt *receipt);

/* Answers a datagram whose port is closed, if the limit allows and if it was sent to us alone
 * (RFC 1122 section 3.2.2). Takes the packet, which the caller has counted. */
void icmp_send_port_unreachable(struct packet *packet, const struct ipv4_receipt *receipt);

struct icmp_ping_result {
    enum icmp_ping_outcome {
        ICMP_PING_ANSWERED,
        ICMP_PING_TIMEOUT,
        ICMP_PING_UNREACHABLE,  /* a router or host said so */
        ICMP_PING_NOT_SENT,     /* no packet, no route, link down */
        ICMP_PING_WRONG_PAYLOAD /* answered with other bytes than were sent */
    } outcome;
    uint32_t from;
    uint8_t ttl;
    uint64_t round_trip_ns; /* to the driver's time stamp, as netstamp_needed is on meanwhile */
};

/* Sends one echo request of @payload bytes and waits for its answer, at most @timeout_ns.
 * @sequence goes into the request. @stop(argument) is asked while waiting: true ends it.
 * One ping at a time; others wait. Context: thread, interrupts on. */
void icmp_ping(uint32_t destination, uint16_t sequence, uint32_t payload, uint64_t timeout_ns,
               bool (*stop)(void *argument), void *argument, struct icmp_ping_result *result);
