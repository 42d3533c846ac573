// SPDX-License-Identifier: MIT
/* Tests of net/icmp_ping.c: what ends a ping and what does not. It runs in the test's thread: what
 * comes meanwhile is received where the kernel's thread would wait, so that an answer comes before,
 * in or after the wait as the test wants it. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/icmp.h"
#include "net/receive.h"

/* What the peer does while we wait for it; net_fake_sent[] ends with our request. */
static void (*peer_act)(const struct frame *request);
static unsigned waits;

static void peer_while_we_wait(void)
{
    struct frame request = {.length = 0};

    waits++;
    for (unsigned i = 0; i < net_fake_sent_count; i++) { /* ARP first, if need be */
        const struct net_fake_frame *sent = &net_fake_sent[i];

        if (get16(sent->bytes + 12) == 0x0806) {
            struct frame answer;

            frame_arp(&answer, 2, peer_mac, get32(sent->bytes + 38), OWN_ADDRESS);
            receive(&answer);
        } else {
            request.length = sent->length;
            memcpy(request.bytes, sent->bytes, sent->length);
        }
    }
    if (request.length != 0) {
        peer_act(&request);
    }
}

static struct icmp_ping_result ping(uint32_t payload, void (*act)(const struct frame *request))
{
    struct icmp_ping_result result;

    peer_act = act;
    waits = 0;
    net_fake_sent_count = 0;
    net_fake_on_wait = peer_while_we_wait;
    icmp_ping(PEER_ADDRESS, 7, payload, SECOND, NULL, NULL, &result);
    assert_int_equal(net_fake_held(nic), 0);
    net_counters_take();
    return result;
}

static void turn_around(const struct frame *request, struct frame *reply)
{
    *reply = *request;
    memcpy(reply->bytes, own_mac, 6);
    memcpy(reply->bytes + 6, peer_mac, 6);
    memcpy(reply->bytes + AT_IPV4 + 12, request->bytes + AT_IPV4 + 16, 4);
    memcpy(reply->bytes + AT_IPV4 + 16, request->bytes + AT_IPV4 + 12, 4);
    reply->bytes[AT_IPV4 + 8] = 61;
    reply->bytes[AT_ICMP] = 0;
    frame_fix_ipv4(reply);
    frame_fix_icmp(reply);
}

static void act_answers(const struct frame *request)
{
    struct frame reply;

    assert_int_equal(request->bytes[AT_ICMP], 8);
    assert_int_equal(get16(request->bytes + AT_ICMP + 6), 7);
    turn_around(request, &reply);
    assert_memory_equal(reply.bytes + 42, request->bytes + 42, request->length - 42);
    net_fake_now_ns += 12345;
    receive(&reply);
}

static void act_stays_silent(const struct frame *request)
{
    (void)request;
}

static void act_answers_with_other_bytes(const struct frame *request)
{
    struct frame reply;

    turn_around(request, &reply);
    reply.bytes[reply.length - 1] ^= 1;
    frame_fix_icmp(&reply);
    receive(&reply);
}

static void act_answers_with_less(const struct frame *request)
{
    struct frame reply;

    turn_around(request, &reply);
    put16(reply.bytes + AT_IPV4 + 2, get16(reply.bytes + AT_IPV4 + 2) - 1);
    frame_fix_ipv4(&reply);
    frame_fix_icmp(&reply);
    receive(&reply);
}

/* Answers that are not to what was asked, each alone. */
static void act_answers_something_else(const struct frame *request)
{
    struct frame reply;

    for (unsigned byte = 4; byte < 8; byte++) {
        turn_around(request, &reply);
        reply.bytes[AT_ICMP + byte] ^= 1;
        frame_fix_icmp(&reply);
        receive(&reply);
    }
    turn_around(request, &reply);
    put32(reply.bytes + AT_IPV4 + 12, PEER_ADDRESS + 1);
    frame_fix_ipv4(&reply);
    receive(&reply);
}

static void ping_reports_what_comes_back(void **state)
{
    struct icmp_ping_result result;

    (void)state;
    net_begin();
    result = ping(56, act_answers);
    assert_int_equal(result.outcome, ICMP_PING_ANSWERED);
    assert_int_equal(result.from, PEER_ADDRESS);
    assert_int_equal(result.ttl, 61);
    assert_int_equal(result.round_trip_ns, 12345);
    assert_int_equal(waits, 1); /* not one wait more than need be */
    assert_int_equal(ping(0, act_answers).outcome, ICMP_PING_ANSWERED);
    assert_int_equal(ping(ICMP_PAYLOAD_MAX, act_answers).outcome, ICMP_PING_ANSWERED);
    assert_int_equal(ping(56, act_answers_with_other_bytes).outcome, ICMP_PING_WRONG_PAYLOAD);
    assert_int_equal(ping(56, act_answers_with_less).outcome, ICMP_PING_WRONG_PAYLOAD);
    assert_int_equal(netstamp_needed.count, 0);
    net_end();
}

static void ping_waits_no_longer_than_asked(void **state)
{
    uint64_t start;

    (void)state;
    net_begin();
    start = net_fake_now_ns;
    assert_int_equal(ping(56, act_stays_silent).outcome, ICMP_PING_TIMEOUT);
    assert_int_equal(net_fake_now_ns - start, SECOND);
    assert_int_equal(ping(56, act_answers_something_else).outcome, ICMP_PING_TIMEOUT);
    net_end();
}

static struct frame late;

static void act_is_late(const struct frame *request)
{
    turn_around(request, &late);
}

static void act_answers_twice(const struct frame *request)
{
    turn_around(request, &late);
    receive(&late);
    net_counters_take();
    receive(&late);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_TYPE, -1);
}

static void answer_that_comes_late_or_twice_is_counted(void **state)
{
    (void)state;
    net_begin();
    ping(56, act_is_late);
    receive(&late);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_TYPE, -1);
    assert_int_equal(ping(56, act_answers_twice).outcome, ICMP_PING_ANSWERED);
    net_end();
}

/* The error that a router sends about @request. */
static void error_about(const struct frame *request, struct frame *error, unsigned type)
{
    unsigned quoted = 28;

    frame_icmp(error, type, 1, quoted);
    put32(error->bytes + AT_IPV4 + 12, GATE_ADDRESS);
    memset(error->bytes + AT_ICMP + 4, 0, 4);
    memcpy(error->bytes + AT_DATA, request->bytes + AT_IPV4, quoted);
    frame_fix_ipv4(error);
    frame_fix_icmp(error);
}

static void act_is_unreachable(const struct frame *request)
{
    struct frame error;

    error_about(request, &error, 3);
    receive(&error);
}

static void act_takes_too_many_hops(const struct frame *request)
{
    struct frame error;

    error_about(request, &error, 11);
    receive(&error);
}

/* Errors about other packets, and errors cut short or malformed. */
static void act_sends_wrong_errors(const struct frame *request)
{
    static const unsigned bytes[] = {0, 9, 16, 20, 24, 26}; /* of what is quoted */
    struct frame error;

    for (unsigned i = 0; i < ARRAY_COUNT(bytes); i++) {
        error_about(request, &error, 3);
        error.bytes[AT_DATA + bytes[i]] ^= 0x0f;
        frame_fix_icmp(&error);
        receive(&error);
    }
    for (unsigned length = 0; length < 28; length++) {
        error_about(request, &error, 3);
        put16(error.bytes + AT_IPV4 + 2, 28 + length);
        frame_fix_ipv4(&error);
        frame_fix_icmp(&error);
        receive(&error);
    }
}

static void ping_ends_when_a_router_says_so(void **state)
{
    struct icmp_ping_result result;

    (void)state;
    net_begin();
    result = ping(56, act_is_unreachable);
    assert_int_equal(result.outcome, ICMP_PING_UNREACHABLE);
    assert_int_equal(result.from, GATE_ADDRESS);
    assert_int_equal(ping(56, act_takes_too_many_hops).outcome, ICMP_PING_UNREACHABLE);
    assert_int_equal(ping(56, act_sends_wrong_errors).outcome, ICMP_PING_TIMEOUT);
    net_end();
}

static bool stop_now(void *argument)
{
    ++*(unsigned *)argument;
    return true;
}

static void ping_that_cannot_be_sent_says_so(void **state)
{
    struct packet *all[NET_FAKE_PACKETS];
    struct icmp_ping_result result;
    unsigned asked = 0;

    (void)state;
    net_begin();
    assert_int_equal(ping(ICMP_PAYLOAD_MAX + 1, act_answers).outcome, ICMP_PING_NOT_SENT);
    icmp_ping(0x7f000001, 1, 56, SECOND, NULL, NULL, &result);
    assert_int_equal(result.outcome, ICMP_PING_NOT_SENT);
    assert_int_equal(packet_allocate_many(nic->pool, all, NET_FAKE_PACKETS), NET_FAKE_PACKETS);
    icmp_ping(PEER_ADDRESS, 1, 56, SECOND, NULL, NULL, &result);
    assert_int_equal(result.outcome, ICMP_PING_NOT_SENT);
    expect_counted(NET_DROP_NO_PACKET, -1);
    packet_free_many(all, NET_FAKE_PACKETS);
    net_device_set_link(nic, false);
    icmp_ping(PEER_ADDRESS, 1, 56, SECOND, NULL, NULL, &result);
    assert_int_equal(result.outcome, ICMP_PING_NOT_SENT);
    net_device_set_link(nic, true);
    peer_act = act_stays_silent;
    icmp_ping(PEER_ADDRESS, 1, 56, 100 * SECOND, stop_now, &asked, &result);
    assert_int_equal(result.outcome, ICMP_PING_TIMEOUT);
    assert_int_equal(asked, 1); /* and it ended there */
    assert_int_equal(netstamp_needed.count, 0);
    net_counters_take();
    net_end();
}

static void ping_of_ourselves_needs_no_wire(void **state)
{
    struct icmp_ping_result result;

    (void)state;
    net_begin();
    net_device_set_link(nic, false);
    icmp_ping(OWN_ADDRESS, 1, 1000, SECOND, NULL, NULL, &result);
    assert_int_equal(result.outcome, ICMP_PING_ANSWERED);
    assert_int_equal(result.from, OWN_ADDRESS);
    assert_int_equal(net_fake_sent_count, 0);
    expect_counted(NET_SENT_ICMP, NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_SENT_ICMP,
                   NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, -1);
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(ping_reports_what_comes_back),
    cmocka_unit_test(ping_waits_no_longer_than_asked),
    cmocka_unit_test(answer_that_comes_late_or_twice_is_counted),
    cmocka_unit_test(ping_ends_when_a_router_says_so),
    cmocka_unit_test(ping_that_cannot_be_sent_says_so),
    cmocka_unit_test(ping_of_ourselves_needs_no_wire),
};

HOST_TEST_MAIN(tests, NULL)
