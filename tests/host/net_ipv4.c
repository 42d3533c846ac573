// SPDX-License-Identifier: MIT
/* Tests of net/ipv4.c: every reason for which a packet is dropped, one
 * at a time, so that a check that is missing lets the packet through to the echo of ICMP, which is
 * seen; every length of every good frame, twice with other bytes behind it, so that whoever reads
 * those does something else. Checksums are computed by the test itself. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/ipv4.h"
#include "net/net_config.h"

#define OPTIONS_MAX 40

static void expect_dropped(const struct frame *frame, enum net_counter reason)
{
    unsigned sent = net_fake_sent_count;

    receive(frame);
    expect_counted(NET_RECEIVED_IPV4, reason, -1);
    assert_int_equal(net_fake_sent_count, sent);
}

static void expect_answered(const struct frame *frame)
{
    unsigned sent = net_fake_sent_count;

    receive(frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_SENT_ICMP, -1);
    assert_int_equal(net_fake_sent_count, sent + 1);
}

static void headers_that_lie_are_dropped(void **state)
{
    struct frame frame;
    uint8_t *ip = frame.bytes + AT_IPV4;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    expect_answered(&frame);
    for (unsigned version = 0; version < 16; version++) {
        ip[0] = (uint8_t)(version << 4 | 5);
        frame_fix_ipv4(&frame);
        if (version != 4) {
            expect_dropped(&frame, NET_DROP_IPV4_VERSION);
        }
    }
    for (unsigned words = 0; words < 5; words++) {
        frame_icmp(&frame, 8, 0, 56);
        ip[0] = (uint8_t)(0x40 | words);
        expect_dropped(&frame, NET_DROP_IPV4_HEADER_LENGTH);
    }
    frame_icmp(&frame, 8, 0, 16); /* a header longer than the frame */
    ip[0] = 0x4f;
    frame.length = 14 + 59;
    expect_dropped(&frame, NET_DROP_IPV4_HEADER_LENGTH);
    for (frame.length = 14; frame.length < 34; frame.length++) {
        expect_dropped(&frame, NET_DROP_IPV4_SHORT);
    }
    net_end();
}

static void total_length_is_compared_with_header_and_frame(void **state)
{
    struct frame frame;
    uint8_t *ip = frame.bytes + AT_IPV4;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 100);
    for (unsigned total = 0; total <= 0xffff; total += total < 200 ? 1 : 97) {
        put16(ip + 2, total);
        frame_fix_ipv4(&frame);
        if (total < 20 || total > 128) {
            expect_dropped(&frame, NET_DROP_IPV4_TOTAL_LENGTH);
        } else if (total < 28) {
            receive(&frame);
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_SHORT, -1);
        } else if (total < 128) { /* less than all of it: another checksum */
            receive(&frame);
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_CHECKSUM, -1);
        } else {
            expect_answered(&frame);
        }
    }
    net_end();
}

static void padding_behind_the_packet_is_not_sent_back(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 100);
    frame.length += 50;
    memset(frame.bytes + 142, 0xee, 50);
    expect_answered(&frame);
    assert_int_equal(net_fake_sent[0].length, 142);
    net_end();
}

/* Each single bit, and each word. */
static void wrong_header_checksum_is_dropped(void **state)
{
    struct frame good, frame;

    (void)state;
    net_begin();
    frame_icmp(&good, 8, 0, 56);
    for (unsigned bit = 8; bit < 160;
         bit++) { /* from the second byte: the first has other reasons */
        frame = good;
        frame.bytes[AT_IPV4 + bit / 8] ^= (uint8_t)(1 << bit % 8);
        expect_dropped(&frame, NET_DROP_IPV4_CHECKSUM);
    }
    net_end();
}

static void well_formed_options_are_skipped(void **state)
{
    static const struct {
        uint8_t bytes[OPTIONS_MAX];
        unsigned length;
    } good[] = {
        {{0, 0, 0, 0}, 4},
        {{1, 1, 1, 1}, 4},
        {{1, 1, 1, 0}, 4},
        {{0x94, 4, 0, 0}, 4},
        {{7, 7, 4, 0, 0, 0, 0, 0}, 8},
        {{68, 2, 1, 0}, 4},
        {{0, 9, 9, 9}, 4}, /* behind the end anything may stand */
        {{1, 0x44, 39}, 40},
    };
    struct frame frame, answer;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(good); i++) {
        uint8_t *icmp = frame.bytes + AT_ICMP + good[i].length;

        frame_ipv4(&frame, 1, PEER_ADDRESS, OWN_ADDRESS, good[i].bytes, good[i].length, 64);
        icmp[0] = 8;
        icmp[1] = 0;
        frame_fix_icmp(&frame);
        net_fake_sent_count = 0;
        expect_answered(&frame);
        /* The answer has no options. */
        frame_icmp(&answer, 0, 0, 56);
        memcpy(answer.bytes, peer_mac, 6);
        memcpy(answer.bytes + 6, own_mac, 6);
        put16(answer.bytes + AT_IPV4 + 4, 0);
        put16(answer.bytes + AT_IPV4 + 6, 0x4000);
        answer.bytes[AT_IPV4 + 8] = 64;
        put32(answer.bytes + AT_IPV4 + 12, OWN_ADDRESS);
        put32(answer.bytes + AT_IPV4 + 16, PEER_ADDRESS);
        memcpy(answer.bytes + AT_ICMP + 4, icmp + 4, 60);
        frame_fix_ipv4(&answer);
        frame_fix_icmp(&answer);
        expect_sent(0, answer.bytes, answer.length);
    }
    net_end();
}

static void malformed_options_are_dropped(void **state)
{
    static const struct {
        uint8_t bytes[OPTIONS_MAX];
        unsigned length;
    } bad[] = {
        {{7, 0, 0, 0}, 4},
        {{7, 1, 0, 0}, 4},
        {{7, 5, 0, 0}, 4},
        {{7, 255, 0, 0}, 4},
        {{1, 1, 1, 7}, 4},
        {{1, 7, 4, 0}, 4},
        {{7, 3, 4, 9}, 4},
        {{68, 4, 0, 0, 131, 5, 0, 0}, 8},
        {{1, 1, 1, 1, 1, 1, 1, 130}, 8},
    };
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        frame_ipv4(&frame, 1, PEER_ADDRESS, OWN_ADDRESS, bad[i].bytes, bad[i].length, 64);
        frame.bytes[AT_ICMP + bad[i].length] = 8;
        frame.bytes[AT_ICMP + bad[i].length + 1] = 0;
        frame_fix_icmp(&frame);
        expect_dropped(&frame, NET_DROP_IPV4_OPTIONS);
    }
    net_end();
}

static void set_addresses(struct frame *frame, uint32_t source, uint32_t destination)
{
    put32(frame->bytes + AT_IPV4 + 12, source);
    put32(frame->bytes + AT_IPV4 + 16, destination);
    frame_fix_ipv4(frame);
}

static void sources_that_are_no_single_host_are_dropped(void **state)
{
    static const uint32_t sources[] = {OWN_ADDRESS, NET_BROADCAST, IPV4_BROADCAST,   0xe0000001,
                                       0xefffffff,  0xf0000001,    0x7f000001,       0,
                                       0x00000001,  0x0a000000,    OWN_ADDRESS + 64, 0x0a000180};
    struct frame frame;

    (void)state;
    net_begin();
    assert_non_null(net_fake_device_add(1, OWN_ADDRESS + 64, NET_MASK)); /* our other card's */
    assert_non_null(net_fake_device_add(2, 0x0a000180, NET_MASK));
    net_fake_sent_count = 0;
    net_counters_take();
    frame_icmp(&frame, 8, 0, 56);
    for (unsigned i = 0; i < ARRAY_COUNT(sources); i++) {
        set_addresses(&frame, sources[i], OWN_ADDRESS);
        expect_dropped(&frame, NET_DROP_IPV4_SOURCE);
    }
    set_addresses(&frame, FAR_ADDRESS, OWN_ADDRESS);
    expect_answered(&frame);
    assert_memory_equal(net_fake_sent[0].bytes, peer_mac, 6); /* to the router it came from */
    net_end();
}

static void packets_for_others_are_dropped(void **state)
{
    static const uint32_t destinations[] = {PEER_ADDRESS, 0,          0x0a000000, 0x0a0001ff,
                                            0xe0000001,   0x7f000001, FAR_ADDRESS};
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    for (unsigned i = 0; i < ARRAY_COUNT(destinations); i++) {
        set_addresses(&frame, PEER_ADDRESS, destinations[i]);
        expect_dropped(&frame, NET_DROP_IPV4_NOT_FOR_US);
    }
    net_end();
}

static void echo_to_a_broadcast_address_is_not_answered(void **state)
{
    static const uint32_t destinations[] = {NET_BROADCAST, IPV4_BROADCAST};
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    memcpy(frame.bytes, all_mac, 6);
    for (unsigned i = 0; i < ARRAY_COUNT(destinations); i++) {
        set_addresses(&frame, PEER_ADDRESS, destinations[i]);
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ANSWER, -1);
        set_addresses(&frame, 0, destinations[i]); /* from a host that has no address yet */
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ANSWER, -1);
    }
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

/* A net of two addresses has no broadcast address (RFC 3021). */
static void small_nets_have_no_broadcast(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    assert_true(net_config_set_address(nic, 0x0a000002, 0xfffffffe, NET_CONFIG_STATIC));
    net_counters_take();
    net_fake_sent_count = 0;
    set_addresses(&frame, 0x0a000009, 0x0a000003);
    expect_dropped(&frame, NET_DROP_IPV4_NOT_FOR_US);
    set_addresses(&frame, 0x0a000003, 0x0a000002);
    expect_answered(&frame);
    net_end();
}

static void fragments_are_dropped(void **state)
{
    static const uint16_t fields[] = {0x2000, 0x0001, 0x1fff, 0x3001, 0x6000,
                                      0xa000, 0x0100, 0x8000, 0xc000};
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    for (unsigned i = 0; i < ARRAY_COUNT(fields); i++) {
        put16(frame.bytes + AT_IPV4 + 6, fields[i]);
        frame_fix_ipv4(&frame);
        expect_dropped(&frame, NET_DROP_IPV4_FRAGMENT);
    }
    put16(frame.bytes + AT_IPV4 + 6, 0x4000); /* "do not fragment" is none */
    frame_fix_ipv4(&frame);
    expect_answered(&frame);
    net_end();
}

static void unknown_protocols_are_dropped(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned protocol = 0; protocol < 256; protocol++) {
        frame_ipv4(&frame, (uint8_t)protocol, PEER_ADDRESS, OWN_ADDRESS, NULL, 0, 40);
        if (protocol != 1 && protocol != 17) {
            expect_dropped(&frame, NET_DROP_IPV4_PROTOCOL);
        }
    }
    net_end();
}

static void device_without_an_address_listens_for_dhcp_alone(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    assert_true(net_config_set_address(nic, 0, 0, NET_CONFIG_NONE));
    net_counters_take();
    frame_udp(&frame, 67, 68, 300);
    receive(&frame); /* to the address it may be offered; not ours, so nothing is sent from it */
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, -1);
    frame_udp(&frame, 67, 69, 300);
    expect_dropped(&frame, NET_DROP_IPV4_NOT_FOR_US);
    frame_icmp(&frame, 8, 0, 56);
    expect_dropped(&frame, NET_DROP_IPV4_NOT_FOR_US);
    frame_icmp(&frame, 0, 68, 56); /* no UDP: these are no ports */
    expect_dropped(&frame, NET_DROP_IPV4_NOT_FOR_US);
    frame_udp(&frame, 67, 68, 0);
    put16(frame.bytes + AT_IPV4 + 2, 27); /* the port is there, the header is not whole */
    frame_fix_ipv4(&frame);
    expect_dropped(&frame, NET_DROP_IPV4_NOT_FOR_US);
    frame_udp(&frame, 67, 69, 300);
    set_addresses(&frame, PEER_ADDRESS, IPV4_BROADCAST);
    frame_fix_udp(&frame);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, -1);
    net_end();
}

/* What a frame cut at @length does with @behind it: counters and what was sent, in one number. */
static uint64_t outcome_of(const struct frame *frame, uint32_t length, uint8_t behind)
{
    uint64_t before[NET_COUNTER_COUNT], outcome = 0;
    unsigned drops = 0;

    for (unsigned i = 0; i < NET_COUNTER_COUNT; i++) {
        before[i] = net_counter_read((enum net_counter)i);
    }
    net_fake_sent_count = 0;
    net_fake_now_ns += SECOND; /* errors are sent again */
    assert_true(net_fake_receive(nic, frame->bytes, length, behind));
    assert_int_equal(net_fake_held(nic), 0);
    for (unsigned i = 0; i < NET_COUNTER_COUNT; i++) {
        uint64_t more = net_counter_read((enum net_counter)i) - before[i];

        outcome = outcome * 31 + more;
        drops += i >= NET_DROP_PROGRAM ? (unsigned)more : 0;
    }
    assert_true(drops == 1 || (drops == 0 && net_fake_sent_count == 1));
    for (unsigned i = 0; i < net_fake_sent_count; i++) {
        for (uint32_t at = 0; at < net_fake_sent[i].length; at++) {
            outcome = outcome * 31 + net_fake_sent[i].bytes[at];
        }
    }
    return outcome;
}

/* Once with a header that still tells of the whole packet, once with one that knows of the cut. */
static void try_all_lengths(const struct frame *frame)
{
    struct frame cut = *frame;

    for (uint32_t length = 0; length <= frame->length; length++) {
        assert_int_equal(outcome_of(frame, length, 0x00), outcome_of(frame, length, 0xff));
        if (length > AT_IPV4 && get16(frame->bytes + 12) == 0x0800) {
            put16(cut.bytes + AT_IPV4 + 2, length - AT_IPV4);
            frame_fix_ipv4(&cut);
            assert_int_equal(outcome_of(&cut, length, 0x00), outcome_of(&cut, length, 0xff));
        }
    }
}

static void frames_cut_anywhere_end_once_and_nothing_behind_them_is_read(void **state)
{
    static const uint8_t options[OPTIONS_MAX] = {7, 39, 4, [39] = 1};
    static const uint32_t payloads[] = {0, 1, 17, 18, 56, 1000, 1471, 1472};
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(payloads); i++) {
        frame_icmp(&frame, 8, 0, payloads[i]);
        try_all_lengths(&frame);
        frame_udp(&frame, 4000, 5000, payloads[i]);
        try_all_lengths(&frame);
        frame_icmp(&frame, 3, 1, payloads[i]);
        try_all_lengths(&frame);
    }
    frame_ipv4(&frame, 1, PEER_ADDRESS, OWN_ADDRESS, options, OPTIONS_MAX, 400);
    try_all_lengths(&frame);
    frame_ipv4(&frame, 1, PEER_ADDRESS, OWN_ADDRESS, options, OPTIONS_MAX, 8);
    try_all_lengths(&frame);
    frame_arp(&frame, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    try_all_lengths(&frame);
    frame_arp(&frame, 2, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    try_all_lengths(&frame);
    net_counters_take();
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(headers_that_lie_are_dropped),
    cmocka_unit_test(total_length_is_compared_with_header_and_frame),
    cmocka_unit_test(padding_behind_the_packet_is_not_sent_back),
    cmocka_unit_test(wrong_header_checksum_is_dropped),
    cmocka_unit_test(well_formed_options_are_skipped),
    cmocka_unit_test(malformed_options_are_dropped),
    cmocka_unit_test(sources_that_are_no_single_host_are_dropped),
    cmocka_unit_test(packets_for_others_are_dropped),
    cmocka_unit_test(echo_to_a_broadcast_address_is_not_answered),
    cmocka_unit_test(small_nets_have_no_broadcast),
    cmocka_unit_test(fragments_are_dropped),
    cmocka_unit_test(unknown_protocols_are_dropped),
    cmocka_unit_test(device_without_an_address_listens_for_dhcp_alone),
    cmocka_unit_test(frames_cut_anywhere_end_once_and_nothing_behind_them_is_read),
};

HOST_TEST_MAIN(tests, NULL)
