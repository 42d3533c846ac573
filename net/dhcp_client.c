// SPDX-License-Identifier: MIT
/* A DHCP client's states; see dhcp_client.h. Invariant: from REBOOTING on the lease was
 * acknowledged, has an address, and renew <= rebind <= expire. Pure. */
#include "net/dhcp_client.h"

#include "net/ipv4.h"
#include "net/net_address.h"

#define SECOND          1000000000ull
#define FIRST_WAIT_NS   (4 * SECOND) /* RFC 2131, section 4.1: 4, 8, 16, 32, 64, each +-1 second */
#define WAIT_DOUBLINGS  4
#define LEAST_RENEW_NS  (60 * SECOND) /* section 4.4.5 */
#define REFUSED_WAIT_NS (10 * SECOND)
#define NEVER           UINT64_MAX

/* Xorshift: to spread clients that start together, and to tell answers from old ones. */
static uint32_t next_random(struct dhcp_client *client)
{
    client->random ^= client->random << 13;
    client->random ^= client->random >> 17;
    client->random ^= client->random << 5;
    return client->random;
}

static void exchange_begin(struct dhcp_client *client, enum dhcp_state state, uint64_t now_ns)
{
    client->state = state;
    client->transaction = next_random(client);
    client->tries = 0;
    client->started_ns = now_ns;
    client->next_ns = now_ns;
}

void dhcp_client_start(struct dhcp_client *client, uint32_t random, uint64_t now_ns)
{
    *client = (struct dhcp_client){.random = random | 1}; /* xorshift stays 0 for ever */
    exchange_begin(client, DHCP_SELECTING, now_ns);
}

static uint64_t wait_before_retry(struct dhcp_client *client)
{
    unsigned doublings = client->tries < WAIT_DOUBLINGS ? client->tries : WAIT_DOUBLINGS;

    return (FIRST_WAIT_NS << doublings) - SECOND + next_random(client) % (2 * SECOND);
}

/* Half of what is left up to @end_ns, but 60 seconds at least; @end_ns has an event of its own. */
static uint64_t wait_before_renewal(uint64_t now_ns, uint64_t end_ns)
{
    uint64_t half = end_ns > now_ns ? (end_ns - now_ns) / 2 : 0;

    return half > LEAST_RENEW_NS ? half : LEAST_RENEW_NS;
}

static void ask(struct dhcp_client *client, uint64_t now_ns, struct dhcp_step *step)
{
    uint64_t seconds = (now_ns - client->started_ns) / SECOND;
    struct dhcp_question *question = &step->question;

    step->send = true;
    step->destination = IPV4_BROADCAST;
    question->type = client->state == DHCP_SELECTING ? DHCP_DISCOVER : DHCP_REQUEST;
    question->transaction = client->transaction;
    question->seconds = (uint16_t)(seconds < UINT16_MAX ? seconds : UINT16_MAX);
    client->next_ns = now_ns + wait_before_retry(client);
    if (client->state == DHCP_REQUESTING) {
        question->wanted_address = client->lease.address;
        question->server = client->lease.server;
    } else if (client->state == DHCP_REBOOTING) {
        question->wanted_address = client->lease.address;
    } else if (client->state == DHCP_RENEWING) {
        question->own_address = client->lease.address;
        step->destination = client->lease.server;
        client->next_ns = now_ns + wait_before_renewal(now_ns, client->rebind_ns);
    } else if (client->state == DHCP_REBINDING) {
        question->own_address = client->lease.address;
        client->next_ns = now_ns + wait_before_renewal(now_ns, client->expire_ns);
    }
    client->tries++;
}

static uint64_t earlier(uint64_t one, uint64_t other)
{
    return one < other ? one : other;
}

uint64_t dhcp_client_next(const struct dhcp_client *client)
{
    switch (client->state) {
    case DHCP_OFF:
        return NEVER;
    case DHCP_BOUND:
        return client->renew_ns;
    case DHCP_RENEWING:
        return earlier(client->next_ns, client->rebind_ns);
    case DHCP_REBOOTING:
    case DHCP_REBINDING:
        return earlier(client->next_ns, client->expire_ns);
    default:
        return client->next_ns;
    }
}

/* Whether the lease is over, or nobody has said since the link came up that it still holds. */
static bool is_lease_lost(const struct dhcp_client *client, uint64_t now_ns)
{
    return dhcp_client_has_lease(client) &&
           (now_ns >= client->expire_ns ||
            (client->state == DHCP_REBOOTING && client->tries >= DHCP_REBOOT_TRIES));
}

void dhcp_client_tick(struct dhcp_client *client, uint64_t now_ns, struct dhcp_step *step)
{
    *step = (struct dhcp_step){.change = DHCP_KEEP};
    if (now_ns < dhcp_client_next(client)) {
        return;
    }
    if (is_lease_lost(client, now_ns)) {
        step->change = DHCP_DROP_ADDRESS;
        exchange_begin(client, DHCP_SELECTING, now_ns);
        return; /* the question follows with the next tick, when the address is gone */
    }
    if (client->state >= DHCP_BOUND && client->state < DHCP_REBINDING &&
        now_ns >= client->rebind_ns) {
        exchange_begin(client, DHCP_REBINDING, now_ns);
    } else if (client->state == DHCP_BOUND) {
        exchange_begin(client, DHCP_RENEWING, now_ns);
    } else if (client->state == DHCP_REQUESTING && client->tries >= DHCP_TRIES) {
        exchange_begin(client, DHCP_SELECTING, now_ns);
    }
    ask(client, now_ns, step);
}

static uint64_t seconds_later(uint64_t now_ns, uint64_t seconds)
{
    return seconds == DHCP_LEASE_INFINITE ? NEVER : now_ns + seconds * SECOND;
}

/* The times that a server does not give, or gives out of order, are those of RFC 2131,
 * section 4.4.5: half of the lease, and seven eighths. */
static void lease_begin(struct dhcp_client *client, const struct dhcp_answer *answer,
                        uint64_t now_ns)
{
    uint64_t lease = answer->lease_s;
    uint64_t renew = answer->renew_s;
    uint64_t rebind = answer->rebind_s;

    if (renew == 0 || renew > rebind || rebind > lease) {
        renew = lease == DHCP_LEASE_INFINITE ? lease : lease / 2;
        rebind = lease == DHCP_LEASE_INFINITE ? lease : lease * 7 / 8;
        renew = renew != 0 ? renew : 1; /* a lease of a second must not be asked for without end */
        rebind = rebind != 0 ? rebind : 1;
    }
    client->lease = *answer;
    client->state = DHCP_BOUND;
    client->renew_ns = seconds_later(now_ns, renew);
    client->rebind_ns = seconds_later(now_ns, rebind);
    client->expire_ns = seconds_later(now_ns, lease);
}

/* Whether an offer or acknowledgement has all that a lease needs. */
static bool is_complete(const struct dhcp_answer *answer)
{
    return answer->server != 0 && answer->lease_s != 0 &&
           net_address_fault(answer->address, answer->mask) == NULL;
}

/* A server that was not asked has no say: its word would end, or take over, another's lease. */
static bool is_of_a_server_asked(const struct dhcp_client *client, const struct dhcp_answer *answer)
{
    return client->state == DHCP_REBOOTING || client->state == DHCP_REBINDING ||
           answer->server == client->lease.server;
}

bool dhcp_client_wants(const struct dhcp_client *client, const struct dhcp_answer *answer)
{
    if (answer->transaction != client->transaction || client->tries == 0) {
        return false;
    }
    switch (client->state) {
    case DHCP_SELECTING:
        return answer->type == DHCP_OFFER && is_complete(answer);
    case DHCP_REQUESTING:
    case DHCP_REBOOTING:
    case DHCP_RENEWING:
    case DHCP_REBINDING:
        return is_of_a_server_asked(client, answer) &&
               (answer->type == DHCP_NAK || (answer->type == DHCP_ACK && is_complete(answer)));
    default:
        return false;
    }
}

/* The server says no: what it offered or leased is not ours. In another network the next question
 * is for its server, and need not wait. */
static void refused_by_server(struct dhcp_client *client, uint64_t now_ns, struct dhcp_step *step)
{
    step->change = dhcp_client_has_lease(client) ? DHCP_DROP_ADDRESS : DHCP_KEEP;
    if (client->state == DHCP_REBOOTING) {
        exchange_begin(client, DHCP_SELECTING, now_ns);
    } else {
        dhcp_client_refuse(client, now_ns);
    }
}

void dhcp_client_answer(struct dhcp_client *client, const struct dhcp_answer *answer,
                        uint64_t now_ns, struct dhcp_step *step)
{
    *step = (struct dhcp_step){.change = DHCP_KEEP};
    if (!dhcp_client_wants(client, answer)) {
        return;
    }
    if (answer->type == DHCP_OFFER) {
        client->lease = *answer;
        client->state = DHCP_REQUESTING;
        client->tries = 0;
        ask(client, now_ns, step);
    } else if (answer->type == DHCP_ACK) {
        lease_begin(client, answer, now_ns);
        step->change = DHCP_TAKE_ADDRESS;
    } else {
        refused_by_server(client, now_ns, step);
    }
}

void dhcp_client_refuse(struct dhcp_client *client, uint64_t now_ns)
{
    exchange_begin(client, DHCP_SELECTING, now_ns);
    client->next_ns = now_ns + REFUSED_WAIT_NS;
}

void dhcp_client_link_up(struct dhcp_client *client, uint64_t now_ns)
{
    if (client->state != DHCP_OFF) {
        exchange_begin(client, dhcp_client_has_lease(client) ? DHCP_REBOOTING : DHCP_SELECTING,
                       now_ns);
    }
}
