// SPDX-License-Identifier: MIT
/* Tests of net/ethernet.c and net/receive.c: which frames go on, what becomes of the others. Each
 * frame is counted for one reason and its buffer is back in the pool, so a frame that is let
 * through, counted twice or leaked is seen at once; which protocol handled a frame is seen by its
 * counters alone. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/program.h"

static void frames_of_impossible_length_are_dropped(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_udp(&frame, 1000, 2000, 100);
    for (frame.length = 0; frame.length < 14; frame.length++) {
        receive(&frame);
        expect_counted(NET_DROP_FRAME_SHORT, -1);
    }
    for (frame.length = 1515; frame.length < 1900; frame.length += 7) {
        receive(&frame);
        expect_counted(NET_DROP_FRAME_LONG, -1);
    }
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void frames_for_others_and_groups_are_dropped(void **state)
{
    static const uint8_t others[][6] = {{2, 0, 0, 0, 0, 2},
                                        {3, 0, 0, 0, 0, 1},
                                        {1, 0, 0x5e, 0, 0, 1},
                                        {0x33, 0x33, 0, 0, 0, 1},
                                        {0xff, 255, 255, 255, 255, 254}};
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(others); i++) {
        frame_udp(&frame, 1000, 2000, 100);
        memcpy(frame.bytes, others[i], 6);
        receive(&frame);
        expect_counted(NET_DROP_NOT_FOR_US, -1);
    }
    for (unsigned bit = 1; bit < 48; bit++) { /* each bit of our address matters; 0: a group */
        frame_udp(&frame, 1000, 2000, 100);
        frame.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        receive(&frame);
        expect_counted(NET_DROP_NOT_FOR_US, -1);
    }
    net_end();
}

static void frames_from_groups_are_dropped(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    frame.bytes[6] |= 1;
    receive(&frame);
    expect_counted(NET_DROP_ETHERNET_SOURCE, -1);
    memcpy(frame.bytes + 6, all_mac, 6);
    receive(&frame);
    expect_counted(NET_DROP_ETHERNET_SOURCE, -1);
    net_end();
}

static void frames_from_nobody_or_ourselves_are_dropped(void **state)
{
    static const uint8_t nobody[6];
    struct frame frame;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 56);
    memcpy(frame.bytes + 6, nobody, 6);
    receive(&frame);
    expect_counted(NET_DROP_ETHERNET_SOURCE, -1);
    memcpy(frame.bytes + 6, own_mac, 6);
    receive(&frame);
    expect_counted(NET_DROP_ETHERNET_SOURCE, -1);
    for (unsigned bit = 1; bit < 48; bit++) { /* each bit matters; 0: a group */
        for (unsigned i = 0; i < 2; i++) {
            memcpy(frame.bytes + 6, i == 0 ? nobody : own_mac, 6);
            frame.bytes[6 + bit / 8] ^= (uint8_t)(1 << bit % 8);
            receive(&frame);
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_SENT_ICMP, -1);
        }
    }
    net_end();
}

static void types_without_a_protocol_are_dropped(void **state)
{
    struct frame frame;
    uint64_t before = net_counter_read(NET_DROP_ETHERTYPE);

    (void)state;
    net_begin();
    frame_udp(&frame, 1000, 2000, 100);
    for (unsigned type = 0; type <= 0xffff; type++) {
        if (type != 0x0800 && type != 0x0806) {
            put16(frame.bytes + 12, type);
            receive(&frame);
        }
    }
    assert_int_equal(net_counter_read(NET_DROP_ETHERTYPE) - before, 0x10000 - 2);
    net_counters_take();
    net_end();
}

static unsigned action;

static unsigned program(const void *context, const void *instructions)
{
    (void)instructions;
    const struct packet *packet = context;
    packet->data[packet->length - 1] ^= 0xff;
    return action;
}

static void program_decides_before_anyone_looks(void **state)
{
    struct net_program obeys;
    struct frame frame, sent;

    (void)state;
    net_begin();
    net_program_initialize(&obeys, "obeys", program, NULL);
    assert_int_equal(net_program_attach(nic, NET_PROGRAM_ALL_QUEUES, &obeys, NULL), NET_PROGRAM_OK);
    frame_icmp(&frame, 8, 0, 100);
    action = NET_ACTION_DROP;
    receive(&frame);
    expect_counted(NET_DROP_PROGRAM, -1);
    for (action = NET_ACTION_COUNT; action != NET_ACTION_ABORT; action *= 2) {
        receive(&frame);
        expect_counted(NET_DROP_PROGRAM_ABORT, -1);
    }
    receive(&frame);
    expect_counted(NET_DROP_PROGRAM_ABORT, -1);
    action = NET_ACTION_TX;
    sent = frame;
    sent.bytes[sent.length - 1] ^= 0xff;
    receive(&frame);
    expect_counted(NET_PROGRAM_TX, -1);
    expect_sent(0, sent.bytes, sent.length);
    assert_int_equal(net_fake_sent[0].queue, 1);
    action = NET_ACTION_PASS;
    receive(&frame); /* one byte is not what it was */
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ICMP_CHECKSUM, -1);
    net_end();
}

/* By the reason alone: they were not sent. */
static void answers_that_cannot_be_sent_are_counted(void **state)
{
    struct frame frame, question;

    (void)state;
    net_begin();
    frame_icmp(&frame, 8, 0, 100);
    net_fake_ring_is_full = true;
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_TRANSMIT_FULL, -1);
    frame_arp(&question, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    receive(&question);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_TRANSMIT_FULL, -1);
    net_fake_ring_is_full = false;
    net_device_set_link(nic, false);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_LINK_DOWN, -1);
    net_device_set_link(nic, true);
    net_device_fail(nic, "says nonsense");
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_DEVICE_STOPPED, -1);
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(frames_of_impossible_length_are_dropped),
    cmocka_unit_test(frames_for_others_and_groups_are_dropped),
    cmocka_unit_test(frames_from_groups_are_dropped),
    cmocka_unit_test(frames_from_nobody_or_ourselves_are_dropped),
    cmocka_unit_test(types_without_a_protocol_are_dropped),
    cmocka_unit_test(program_decides_before_anyone_looks),
    cmocka_unit_test(answers_that_cannot_be_sent_are_counted),
};

HOST_TEST_MAIN(tests, NULL)
