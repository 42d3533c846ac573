// SPDX-License-Identifier: MIT
/* The states of a DHCP client (RFC 2131, section 4.4) without a network: time and answers go in,
 * what is to be done comes out. Invariant: an address is used no longer than its lease; questions
 * that find no answer grow rarer up to one in 64 seconds, but never end.
 *
 *     SELECTING --offer--> REQUESTING --ack--> BOUND --T1--> RENEWING --T2--> REBINDING
 *         ^                    | nak, no answer  ^------------ack-'------------ack-'|
 *         '--------------------'<---------------------------- nak, lease over ------'
 *
 * Pure: times are nanoseconds of whatever clock the caller has. Called by dhcp.c and host tests. */
#pragma once

#include "net/dhcp_message.h"

#include <stdbool.h>
#include <stdint.h>

enum dhcp_state {
    DHCP_OFF,
    DHCP_SELECTING,
    DHCP_REQUESTING,
    DHCP_BOUND,
    DHCP_RENEWING,
    DHCP_REBINDING
};

#define DHCP_TRIES 4 /* questions before a server is given up, or there seems to be none */

struct dhcp_client {
    enum dhcp_state state;
    uint32_t random;
    uint32_t transaction;
    unsigned tries;                          /* questions of this state that were sent */
    uint64_t started_ns;                     /* when the exchange began */
    uint64_t next_ns;                        /* when to ask again */
    struct dhcp_answer lease;                /* offered in REQUESTING, held from BOUND on */
    uint64_t renew_ns, rebind_ns, expire_ns; /* of the lease */
};

/* What the caller is to do. */
struct dhcp_step {
    bool send;
    struct dhcp_question question;
    uint32_t destination;
    enum { DHCP_KEEP, DHCP_TAKE_ADDRESS, DHCP_DROP_ADDRESS } change; /* client->lease says which */
};

/* Begins to ask, at @now_ns. @random: any number; different on every machine, best. */
void dhcp_client_start(struct dhcp_client *client, uint32_t random, uint64_t now_ns);

/* When dhcp_client_tick() has something to do; UINT64_MAX: never. */
uint64_t dhcp_client_next(const struct dhcp_client *client);

/* Time has come to @now_ns. Fills in @step: nothing, or a question, or the end of the lease. */
void dhcp_client_tick(struct dhcp_client *client, uint64_t now_ns, struct dhcp_step *step);

/* A server has answered. One that is not for the question asked last changes nothing. */
void dhcp_client_answer(struct dhcp_client *client, const struct dhcp_answer *answer,
                        uint64_t now_ns, struct dhcp_step *step);

/* The address of the lease cannot be used here: asks again, later. */
void dhcp_client_refuse(struct dhcp_client *client, uint64_t now_ns);

/* The link has come up, perhaps to another network: asks at once, about the lease if there is one.
 */
void dhcp_client_link_up(struct dhcp_client *client, uint64_t now_ns);
