// SPDX-License-Identifier: MIT
/* DHCP messages (RFC 2131, options by RFC 2132) as bytes. Invariant: reading never looks beyond the
 * length it is given, and an option of the wrong size makes the whole message unusable. Pure.
 * Called by dhcp_client.c, dhcp.c and the fuzzer. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define DHCP_PORT_SERVER    67
#define DHCP_PORT_CLIENT    68
#define DHCP_QUESTION_BYTES 300 /* what relays of BOOTP expect at least (RFC 1542, section 2.1) */
#define DHCP_MAC_BYTES      6
#define DHCP_LEASE_INFINITE UINT32_MAX

enum dhcp_type {
    DHCP_DISCOVER = 1,
    DHCP_OFFER = 2,
    DHCP_REQUEST = 3,
    DHCP_ACK = 5,
    DHCP_NAK = 6,
};

/* What a server says. Addresses in host byte order; 0: it does not say. */
struct dhcp_answer {
    enum dhcp_type type; /* OFFER, ACK or NAK */
    uint32_t transaction;
    uint32_t address, mask, router, server;
    uint32_t lease_s, renew_s, rebind_s; /* seconds */
};

/* What we say. */
struct dhcp_question {
    enum dhcp_type type; /* DISCOVER or REQUEST */
    uint32_t transaction;
    uint16_t seconds;     /* since the first question */
    uint32_t own_address; /* that we have, and can be answered at; 0: none, answer by broadcast */
    uint32_t wanted_address; /* 0: do not say */
    uint32_t server;         /* whose offer is meant; 0: do not say */
};

/* Reads a message to the device @mac. Returns NULL, or why it is unusable, in words. */
const char *dhcp_answer_read(const uint8_t *bytes, size_t length, const uint8_t mac[DHCP_MAC_BYTES],
                             struct dhcp_answer *answer);

/* Writes DHCP_QUESTION_BYTES bytes. */
void dhcp_question_write(uint8_t *bytes, const struct dhcp_question *question,
                         const uint8_t mac[DHCP_MAC_BYTES]);
