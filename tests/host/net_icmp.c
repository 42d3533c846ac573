// SPDX-License-Identifier: MIT
/* Tests of net/icmp.c: answers byte for byte, with all sizes and the checksums that incremental
 * arithmetic gets wrong; errors for closed ports, and their limit. Two CPUs that want to send an
 * error at the same instant are not tested. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/icmp.h"

/* The answer to @question, made by hand. */
static void answer_to(const struct frame *question, struct frame *answer)
{
    *answer = *question;
    memcpy(answer->bytes, question->bytes + 6, 6);
    memcpy(answer->bytes + 6, own_mac, 6);
    answer->bytes[AT_IPV4 + 8] = 64;
    memcpy(answer->bytes + AT_IPV4 + 12, question->bytes + AT_IPV4 + 16, 4);
    memcpy(answer->bytes + AT_IPV4 + 16, question->bytes + AT_IPV4 + 12, 4);
    answer->bytes[AT_ICMP] = 0;
    frame_fix_ipv4(answer);
    frame_fix_icmp(answer);
}

static void echo_answers_every_size_with_the_same_bytes(void **state)
{
    struct frame question, answer;

    (void)state;
    net_begin();
    for (uint32_t payload = 0; payload <= 1472; payload++) {
        frame_icmp(&question, 8, 0, payload);
        answer_to(&question, &answer);
        net_fake_sent_count = 0;
        receive(&question);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_SENT_ICMP, -1);
        assert_int_equal(net_fake_sent_count, 1);
        expect_sent(0, answer.bytes, answer.length);
        assert_int_equal(net_fake_sent[0].queue, 1);
    }
    net_end();
}

/* All identifiers, so all checksums: 0 and 0xffff among them, and a packet that is all zeroes. */
static void echo_answers_have_right_checksums(void **state)
{
    struct frame question, answer;

    (void)state;
    net_begin();
    frame_icmp(&question, 8, 0, 0);
    memset(question.bytes + AT_ICMP + 4, 0, 4);
    for (unsigned identifier = 0; identifier <= 0xffff; identifier++) {
        put16(question.bytes + AT_ICMP + 4, identifier);
        frame_fix_icmp(&question);
        answer_to(&question, &answer);
        net_fake_sent_count = 0;
        receive(&question);
        assert_int_equal(net_fake_sent_count, 1);
        assert_memory_equal(net_fake_sent[0].bytes, answer.bytes, 60);
    }
    for (unsigned ttl = 0; ttl < 256; ttl++) { /* and those of the header */
        for (unsigned id = 0; id <= 0xffff; id += 257) {
            question.bytes[AT_IPV4 + 8] = (uint8_t)ttl;
            put16(question.bytes + AT_IPV4 + 4, id);
            frame_fix_ipv4(&question);
            answer_to(&question, &answer);
            net_fake_sent_count = 0;
            receive(&question);
            assert_memory_equal(net_fake_sent[0].bytes, answer.bytes, 60);
        }
    }
    net_counters_take();
    net_end();
}

static void broken_messages_are_dropped(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned payload = 0; payload < 8; payload++) {
        frame_ipv4(&frame, 1, PEER_ADDRESS, OWN_ADDRESS, NULL, 0, payload);
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_SHORT, -1);
    }
    for (unsigned bit = 0; bit < 8 * 65; bit++) { /* an odd length: the last byte counts too */
        frame_icmp(&frame, 8, 0, 57);
        frame.bytes[AT_ICMP + bit / 8] ^= (uint8_t)(1 << bit % 8);
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_CHECKSUM, -1);
    }
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void other_types_are_counted(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned type = 0; type < 256; type++) {
        frame_icmp(&frame, type, 0, 56);
        if (type != 8) {
            receive(&frame);
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_TYPE, -1);
        }
    }
    frame_icmp(&frame, 8, 1, 56);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_TYPE, -1);
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

/* The error for a datagram to a closed port, made by hand. */
static void port_unreachable_for(const struct frame *question, struct frame *error)
{
    const uint8_t *ip = question->bytes + AT_IPV4;
    unsigned quoted = (ip[0] & 15u) * 4 + 8;

    frame_icmp(error, 3, 3, quoted);
    memcpy(error->bytes, peer_mac, 6);
    memcpy(error->bytes + 6, own_mac, 6);
    put32(error->bytes + AT_IPV4 + 12, OWN_ADDRESS);
    put32(error->bytes + AT_IPV4 + 16, PEER_ADDRESS);
    error->bytes[AT_IPV4 + 8] = 64;
    memset(error->bytes + AT_ICMP + 4, 0, 4);
    memcpy(error->bytes + AT_DATA, ip, quoted);
    frame_fix_ipv4(error);
    frame_fix_icmp(error);
}

static void closed_port_is_told_with_what_was_sent(void **state)
{
    static const uint32_t payloads[] = {0, 1, 30, 500, 1472};
    struct frame question, error;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(payloads); i++) {
        net_fake_sent_count = 0;
        frame_udp(&question, 1000, 2000, payloads[i]);
        port_unreachable_for(&question, &error);
        receive(&question);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, NET_SENT_ICMP, -1);
        expect_sent(0, error.bytes, error.length);
    }
    net_end();
}

static void closed_port_is_told_to_single_hosts_alone(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_udp(&frame, 1000, 2000, 10);
    put32(frame.bytes + AT_IPV4 + 16, NET_BROADCAST);
    frame_fix_ipv4(&frame);
    frame_fix_udp(&frame);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, -1);
    frame_udp(&frame, 1000, 2000, 10);
    memcpy(frame.bytes, all_mac, 6); /* our address in a frame to all */
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, -1);
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void errors_are_limited(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_udp(&frame, 1000, 2000, 10);
    for (unsigned i = 0; i < 1000; i++) {
        receive(&frame);
    }
    assert_int_equal(net_fake_sent_count, ICMP_ERRORS_PER_SECOND);
    for (unsigned i = 0; i < 1000; i++) { /* ten seconds of a flood */
        net_fake_now_ns += SECOND / 100;
        receive(&frame);
    }
    assert_int_equal(net_fake_sent_count, 11 * ICMP_ERRORS_PER_SECOND);
    net_fake_sent_count = 0;
    net_fake_now_ns += 100 * SECOND; /* a long pause is not saved up */
    for (unsigned i = 0; i < 1000; i++) {
        receive(&frame);
    }
    assert_int_equal(net_fake_sent_count, ICMP_ERRORS_PER_SECOND);
    net_counters_take();
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(echo_answers_every_size_with_the_same_bytes),
    cmocka_unit_test(echo_answers_have_right_checksums),
    cmocka_unit_test(broken_messages_are_dropped),
    cmocka_unit_test(other_types_are_counted),
    cmocka_unit_test(closed_port_is_told_with_what_was_sent),
    cmocka_unit_test(closed_port_is_told_to_single_hosts_alone),
    cmocka_unit_test(errors_are_limited),
};

HOST_TEST_MAIN(tests, NULL)
