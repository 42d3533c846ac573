// SPDX-License-Identifier: MIT
/* The states of a DHCP client (RFC 2131, section 4.4) without a network: time and answers go in,
 * what is to be done comes out. Invariant: an address is used no longer than its lease; questions
 * that find no answer grow rarer up to one in 64 seconds, but never end.
 *
 *     SELECTING --offer--> REQUESTING --ack--> BOUND --T1--> RENEWING --T2--> REBINDING
 *         ^                    | nak, no answer  ^------------ack-'------------ack-'|
 *         '--------------------'<---------------------------- nak, lease over ------'
 *
 * A link that comes up may lead to another network: with a lease that is REBOOTING (section 4.4.2),
 * from where an ack leads to BOUND, and a nak or silence to SELECTING.
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
    DHCP_REBOOTING, /* from here on there is a lease */
    DHCP_BOUND,
    DHCP_RENEWING,
    DHCP_REBINDING
};

#define DHCP_TRIES        4 /* questions before a server is given up, or there seems to be none */
#define DHCP_REBOOT_TRIES 3 /* the same for a lease from before the link came up: 28 seconds */

struct dhcp_client {
    enum dhcp_state state;
    uint32_t random;
    uint32_t transaction;
    unsigned tries;                          /* questions of this state that were sent */
    uint64_t started_ns;                     /* when the exchange began */
    uint64_t next_ns;                        /* when to ask again */
    struct dhcp_answer lease;                /* offered in REQUESTING, held from REBOOTING on */
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

/* Whether there is a lease, and client->lease.address is ours to use. */
static inline bool dhcp_client_has_lease(const struct dhcp_client *client)
{
    return client->state >= DHCP_REBOOTING;
}

/* Whether @answer is for the question asked last, by a server that was asked, and has all that it
 * needs: any server where the question went to all, else the one of the lease. */
bool dhcp_client_wants(const struct dhcp_client *client, const struct dhcp_answer *answer);

/* A server has answered. What dhcp_client_wants() does not want changes nothing. */
void dhcp_client_answer(struct dhcp_client *client, const struct dhcp_answer *answer,
                        uint64_t now_ns, struct dhcp_step *step);

/* The address of the lease cannot be used here: asks again, later. */
void dhcp_client_refuse(struct dhcp_client *client, uint64_t now_ns);

/* The link has come up, perhaps to another network: asks everybody at once, whether the lease still
 * holds if there is one. */
void dhcp_client_link_up(struct dhcp_client *client, uint64_t now_ns);
