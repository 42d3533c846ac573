// SPDX-License-Identifier: MIT
/* Sends an echo request and waits for what comes back; see icmp.h. Invariant: `waiting` describes
 * the one request under way; whoever takes an answer for it ends that under the lock, so a second
 * answer finds nobody. Called by the command `ping`; by icmp.c with what was received. */
#include "net/icmp_ping.h"

#include "arch/clock.h"
#include "kernel/log.h"
#include "kernel/mutex.h"
#include "kernel/spinlock.h"
#include "kernel/wait_queue.h"
#include "net/counters.h"
#include "net/icmp.h"
#include "net/ipv4_header.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/wire.h"

#define ASK_STOP_NS      50000000ull /* how often the waiting thread asks whether to stop */
#define PATTERN_STEP     7 /* neighbouring bytes differ, and so do those of two requests */
#define FIRST_IDENTIFIER 0x4c54

static struct mutex ping_mutex = MUTEX("ping"); /* one at a time */
static struct spinlock waiting_lock = SPINLOCK("ping answer");
static struct wait_queue waiter = WAIT_QUEUE("ping");
static struct {      /* under waiting_lock */
    bool is_waiting; /* read without it by the thread that waits */
    uint32_t destination;
    uint16_t identifier, sequence;
    uint32_t payload;
    uint64_t sent_ns;
    struct icmp_ping_result result;
} waiting;

static uint8_t pattern_byte(uint16_t sequence, uint32_t index)
{
    return (uint8_t)(index * PATTERN_STEP + sequence);
}

static bool payload_is_ours(const struct packet *packet, uint16_t sequence, uint32_t payload)
{
    const uint8_t *bytes = packet->data + ICMP_HEADER_BYTES;

    if (packet->length != ICMP_HEADER_BYTES + payload) {
        return false;
    }
    for (uint32_t i = 0; i < payload; i++) {
        if (bytes[i] != pattern_byte(sequence, i)) {
            return false;
        }
    }
    return true;
}

/* Whether the echo header at @icmp, sent to or by @other, is that of the request under way. */
static bool is_expected_locked(const uint8_t *icmp, uint32_t other)
{
    return waiting.is_waiting && other == waiting.destination &&
           wire_get16(icmp + ICMP_IDENTIFIER) == waiting.identifier &&
           wire_get16(icmp + ICMP_SEQUENCE) == waiting.sequence;
}

static void finish_locked(enum icmp_ping_outcome outcome, const struct ipv4_receipt *receipt,
                          uint64_t received_ns)
{
    __atomic_store_n(&waiting.is_waiting, false, __ATOMIC_RELEASE); /* partner: is_over() */
    waiting.result = (struct icmp_ping_result){
        .outcome = outcome,
        .from = receipt->source,
        .ttl = receipt->header[IPV4_TIME_TO_LIVE],
        .round_trip_ns = received_ns > waiting.sent_ns ? received_ns - waiting.sent_ns : 0,
    };
}

/* Not inlined: one site of the key. */
__attribute__((noinline)) bool icmp_ping_take_reply(struct packet *packet,
                                                    const struct ipv4_receipt *receipt)
{
    uint64_t flags = spinlock_lock_save(&waiting_lock);
    bool is_expected = is_expected_locked(packet->data, receipt->source);

    if (is_expected) {
        packet_stamp(packet); /* if the key was turned on after the frame had come */
        finish_locked(payload_is_ours(packet, waiting.sequence, waiting.payload)
                          ? ICMP_PING_ANSWERED
                          : ICMP_PING_WRONG_PAYLOAD,
                      receipt, packet->received_ns != 0 ? packet->received_ns : clock_now_ns());
    }
    spinlock_unlock_restore(&waiting_lock, flags);
    if (is_expected) {
        wait_queue_wake_all(&waiter);
    }
    return is_expected;
}

/* The error quotes the IP header and the first eight bytes of what it is about. */
bool icmp_ping_take_error(const struct packet *packet, const struct ipv4_receipt *receipt)
{
    const uint8_t *quoted = packet->data + ICMP_HEADER_BYTES;
    uint32_t length = packet->length - ICMP_HEADER_BYTES, header_length;
    bool is_expected;
    uint64_t flags;

    if (length < IPV4_HEADER_BYTES) {
        return false;
    }
    header_length = (quoted[IPV4_VERSION] & 0xfu) * 4;
    if (quoted[IPV4_VERSION] >> 4 != 4 || header_length < IPV4_HEADER_BYTES ||
        header_length + ICMP_HEADER_BYTES > length || quoted[IPV4_PROTOCOL] != IPV4_PROTOCOL_ICMP ||
        quoted[header_length + ICMP_TYPE] != ICMP_ECHO_REQUEST) {
        return false;
    }
    flags = spinlock_lock_save(&waiting_lock);
    is_expected = is_expected_locked(quoted + header_length, wire_get32(quoted + IPV4_DESTINATION));
    if (is_expected) {
        finish_locked(ICMP_PING_UNREACHABLE, receipt, clock_now_ns());
    }
    spinlock_unlock_restore(&waiting_lock, flags);
    if (is_expected) {
        wait_queue_wake_all(&waiter);
    }
    return is_expected;
}

/* Returns the request's packet, data at the ICMP header, or NULL. */
static struct packet *request_make(struct net_device *device, uint16_t identifier,
                                   uint16_t sequence, uint32_t payload)
{
    struct packet *packet = packet_allocate(device->pool);
    uint8_t *icmp;

    if (packet == NULL) {
        net_count(NET_DROP_NO_PACKET);
        return NULL;
    }
    icmp = packet_append(packet, ICMP_HEADER_BYTES + payload);
    icmp[ICMP_TYPE] = ICMP_ECHO_REQUEST;
    icmp[ICMP_CODE] = 0;
    wire_put16(icmp + ICMP_CHECKSUM, 0);
    wire_put16(icmp + ICMP_IDENTIFIER, identifier);
    wire_put16(icmp + ICMP_SEQUENCE, sequence);
    for (uint32_t i = 0; i < payload; i++) {
        icmp[ICMP_HEADER_BYTES + i] = pattern_byte(sequence, i);
    }
    wire_put16(icmp + ICMP_CHECKSUM, checksum_finish(checksum_add(0, icmp, packet->length)));
    return packet;
}

/* Sends a request, for whose answer `waiting` is ready then. Returns false if that cannot be. */
static bool request_send(uint32_t destination, uint16_t sequence, uint32_t payload)
{
    static uint16_t identifier = FIRST_IDENTIFIER; /* under ping_mutex */
    uint32_t next_hop;
    struct net_device *device = ipv4_route(destination, &next_hop);
    struct packet *packet;
    uint64_t flags;

    if (payload > ICMP_PAYLOAD_MAX || device == NULL ||
        (!__atomic_load_n(&device->link_is_up, __ATOMIC_RELAXED) &&
         net_config_owner(destination) == NULL)) {
        return false;
    }
    packet = request_make(device, ++identifier, sequence, payload);
    if (packet == NULL) {
        return false;
    }
    flags = spinlock_lock_save(&waiting_lock);
    waiting.is_waiting = true;
    waiting.destination = destination;
    waiting.identifier = identifier;
    waiting.sequence = sequence;
    waiting.payload = payload;
    waiting.sent_ns = clock_now_ns();
    spinlock_unlock_restore(&waiting_lock, flags);
    ipv4_send(device, 0, destination, IPV4_PROTOCOL_ICMP, packet);
    return true;
}

/* Returns whether the wait has ended; @give_up ends it. */
static bool take_result(bool give_up, struct icmp_ping_result *result)
{
    uint64_t flags = spinlock_lock_save(&waiting_lock);
    bool is_over = !waiting.is_waiting;

    if (is_over) {
        *result = waiting.result;
    } else if (give_up) {
        waiting.is_waiting = false;
        *result = (struct icmp_ping_result){.outcome = ICMP_PING_TIMEOUT};
    }
    spinlock_unlock_restore(&waiting_lock, flags);
    return is_over || give_up;
}

/* Acquire: pairs with finish_locked(); then take_result() finds what it left. */
static bool is_over(void *unused)
{
    (void)unused;
    return !__atomic_load_n(&waiting.is_waiting, __ATOMIC_ACQUIRE);
}

static void ping_locked(uint32_t destination, uint16_t sequence, uint32_t payload,
                        uint64_t timeout_ns, bool (*stop)(void *argument), void *argument,
                        struct icmp_ping_result *result)
{
    uint64_t deadline_ns = clock_now_ns() + timeout_ns;

    if (!request_send(destination, sequence, payload)) {
        *result = (struct icmp_ping_result){.outcome = ICMP_PING_NOT_SENT};
        return;
    }
    do {
        uint64_t look_ns = clock_now_ns() + ASK_STOP_NS;

        wait_queue_wait_until_deadline(&waiter, is_over, NULL,
                                       look_ns < deadline_ns ? look_ns : deadline_ns);
    } while (
        !take_result(clock_now_ns() >= deadline_ns || (stop != NULL && stop(argument)), result));
}

void icmp_ping(uint32_t destination, uint16_t sequence, uint32_t payload, uint64_t timeout_ns,
               bool (*stop)(void *argument), void *argument, struct icmp_ping_result *result)
{
    /* Without stamps, should patching fail, the time is taken when the answer gets here. */
    bool has_stamps = static_key_increment(&netstamp_needed) == PATCH_OK;

    mutex_lock(&ping_mutex);
    ping_locked(destination, sequence, payload, timeout_ns, stop, argument, result);
    mutex_unlock(&ping_mutex);
    if (has_stamps && static_key_decrement(&netstamp_needed) != PATCH_OK) {
        log_warning("ping: the key netstamp_needed stays on");
    }
}
