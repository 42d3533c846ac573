// SPDX-License-Identifier: MIT
/* ICMP; see icmp.h. Invariant: what is answered came to us alone, from a single host (ipv4.c has
 * looked at its address). Called by ipv4.c, udp.c. */
#include "net/icmp.h"

#include "arch/clock.h"
#include "kernel/string.h"
#include "net/counters.h"
#include "net/icmp_ping.h"
#include "net/wire.h"

#define CODE_PORT_UNREACHABLE 3
#define QUOTED_DATA_BYTES     8 /* behind the IP header of what an error is about (RFC 792) */
#define ERROR_INTERVAL_NS     (1000000000ull / ICMP_ERRORS_PER_SECOND)

static void checksum_put(uint8_t *icmp, uint32_t length)
{
    wire_put16(icmp + ICMP_CHECKSUM, 0);
    wire_put16(icmp + ICMP_CHECKSUM, checksum_finish(checksum_add(0, icmp, length)));
}

/* In place: all that changes is the type. */
static void echo_answer(struct packet *packet, const struct ipv4_receipt *receipt)
{
    uint8_t *icmp = packet->data;
    uint16_t checksum = checksum_replace16(wire_get16(icmp + ICMP_CHECKSUM), ICMP_ECHO_REQUEST << 8,
                                           ICMP_ECHO_REPLY << 8);

    icmp[ICMP_TYPE] = ICMP_ECHO_REPLY;
    wire_put16(icmp + ICMP_CHECKSUM, checksum);
    if (checksum == 0) {
        checksum_put(icmp, packet->length); /* 0xffff if all else is 0 */
    }
    ipv4_send_back(packet, receipt, IPV4_PROTOCOL_ICMP);
}

/* Frees what somebody waited for; the rest is dropped by type. */
static void free_if_taken(struct packet *packet, bool is_taken)
{
    if (is_taken) {
        packet_free(packet);
    } else {
        net_drop(packet, NET_DROP_ICMP_TYPE);
    }
}

void icmp_receive(struct packet *packet, const struct ipv4_receipt *receipt)
{
    const uint8_t *icmp = packet->data;

    net_count(NET_RECEIVED_ICMP);
    if (packet->length < ICMP_HEADER_BYTES) {
        net_drop(packet, NET_DROP_ICMP_SHORT);
    } else if (checksum_finish(checksum_add(0, icmp, packet->length)) != 0) {
        net_drop(packet, NET_DROP_ICMP_CHECKSUM);
    } else if (icmp[ICMP_TYPE] == ICMP_ECHO_REQUEST && icmp[ICMP_CODE] == 0) {
        echo_answer(packet, receipt);
    } else if (icmp[ICMP_TYPE] == ICMP_ECHO_REPLY && icmp[ICMP_CODE] == 0) {
        free_if_taken(packet, icmp_ping_take_reply(packet, receipt));
    } else if (icmp[ICMP_TYPE] == ICMP_UNREACHABLE || icmp[ICMP_TYPE] == ICMP_TIME_EXCEEDED) {
        free_if_taken(packet, icmp_ping_take_error(packet, receipt));
    } else {
        net_drop(packet, NET_DROP_ICMP_TYPE);
    }
}

/* Whether one more error may be sent. Each moves the time on by an interval; it may be ahead of the
 * clock by a second's worth. Of CPUs that meet here one wins, the others do without. */
static bool error_is_allowed(void)
{
    static uint64_t paid_until_ns; /* atomic, relaxed: guards no other data */
    uint64_t now_ns = clock_now_ns(), before = __atomic_load_n(&paid_until_ns, __ATOMIC_RELAXED);
    uint64_t after = (before > now_ns ? before : now_ns) + ERROR_INTERVAL_NS;

    return after <= now_ns + ICMP_ERRORS_PER_SECOND * ERROR_INTERVAL_NS &&
           __atomic_compare_exchange_n(&paid_until_ns, &before, after, false, __ATOMIC_RELAXED,
                                       __ATOMIC_RELAXED);
}

/* In place: what the error is about moves back, to make room for the header of the error. */
void icmp_send_port_unreachable(struct packet *packet, const struct ipv4_receipt *receipt)
{
    uint32_t quoted = receipt->header_length + QUOTED_DATA_BYTES;
    uint8_t *icmp = receipt->header + IPV4_HEADER_BYTES;

    if (receipt->is_broadcast || !error_is_allowed()) {
        packet_free(packet);
        return;
    }
    memmove(icmp + ICMP_HEADER_BYTES, receipt->header, quoted);
    memset(icmp, 0, ICMP_HEADER_BYTES);
    icmp[ICMP_TYPE] = ICMP_UNREACHABLE;
    icmp[ICMP_CODE] = CODE_PORT_UNREACHABLE;
    packet->data = icmp;
    packet->length = ICMP_HEADER_BYTES + quoted;
    checksum_put(icmp, packet->length);
    ipv4_send_back(packet, receipt, IPV4_PROTOCOL_ICMP);
}
