// SPDX-License-Identifier: MIT
/* Tests of net/ethernet.c and net/receive.c: which frames go on, what becomes of the others. Each
 * frame is counted for one reason and its buffer is back in the pool, so a frame that is let
 * through, counted twice or leaked is seen at once; which protocol handled a frame is seen by its
 * counters alone. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/ethernet.h"
#include "net/program.h"
#include "net/receive.h"
#include "net/udp.h"

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

/* How often the dynamic calls of the packet path, and those of the hook, were made. */
struct made {
    uint64_t deliver, ipv4_deliver, udp_deliver;
    uint64_t hook[DYNAMIC_INSTANCES + 1];
};

/* Since the last call. */
static void take_made(struct made *made)
{
    made->deliver = dynamic_call_deliver.calls;
    made->ipv4_deliver = dynamic_call_ipv4_deliver.calls;
    made->udp_deliver = dynamic_call_udp_deliver.calls;
    dynamic_call_deliver.calls = dynamic_call_ipv4_deliver.calls = 0;
    dynamic_call_udp_deliver.calls = 0;
    for (unsigned i = 0; i <= DYNAMIC_INSTANCES; i++) {
        made->hook[i] = dynamic_call_hook[i].calls;
        dynamic_call_hook[i].calls = 0;
    }
}

static void expect_made(uint64_t deliver, uint64_t ipv4_deliver, uint64_t udp_deliver)
{
    struct made made;

    take_made(&made);
    assert_int_equal(made.deliver, deliver);
    assert_int_equal(made.ipv4_deliver, ipv4_deliver);
    assert_int_equal(made.udp_deliver, udp_deliver);
}

static void handler_drops(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    net_drop(datagram->packet, NET_DROP_UDP_DISCARDED);
}

/* One call for each step that a frame takes, none for a step that it does not get to: who has no
 * protocol, no handler or no port is called by nobody. */
static void each_step_of_a_frame_is_one_dynamic_call(void **state)
{
    struct frame frame;
    struct made made;

    (void)state;
    net_begin();
    take_made(&made);
    assert_int_equal(udp_bind(2000, handler_drops, NULL), 2000);
    frame_udp(&frame, 1000, 2000, 100);
    receive(&frame);
    expect_made(1, 1, 1);
    frame_udp(&frame, 1000, 2001, 100);
    receive(&frame);
    expect_made(1, 1, 0);
    frame_icmp(&frame, 8, 0, 56);
    receive(&frame);
    expect_made(1, 1, 0);
    frame_ipv4(&frame, 6, PEER_ADDRESS, OWN_ADDRESS, NULL, 0, 40);
    receive(&frame);
    expect_made(1, 0, 0);
    frame_arp(&frame, 2, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    receive(&frame);
    expect_made(1, 0, 0);
    put16(frame.bytes + 12, 0x86dd);
    receive(&frame);
    expect_made(0, 0, 0);
    udp_unbind(2000);
    net_counters_take();
    net_end();
}

/* By the key alone, and each card by a call of its own, as far as there are any: who comes too late
 * has none, and runs its program all the same. */
static void hook_goes_the_way_that_the_key_says(void **state)
{
    struct net_device *cards[DYNAMIC_INSTANCES + 2] = {0};
    struct net_program drops;
    struct frame frame;
    struct made made;

    (void)state;
    net_begin();
    net_program_initialize(&drops, "drops", program, NULL);
    action = NET_ACTION_DROP;
    frame_icmp(&frame, 8, 0, 100);
    for (unsigned i = 1; i < ARRAY_COUNT(cards); i++) { /* one is there */
        cards[i] = net_fake_device_add(i, 0, 0);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(cards); i++) {
        struct net_device *card = net_device_at(i);

        assert_int_equal(net_program_attach(card, NET_PROGRAM_ALL_QUEUES, &drops, NULL),
                         NET_PROGRAM_OK);
        take_made(&made);
        for (unsigned way = 0; way < 2; way++) {
            if (way == 1) {
                assert_int_equal(static_key_increment(&receive_hook_dynamic), PATCH_OK);
            }
            assert_true(net_fake_receive(card, frame.bytes, frame.length, 0xaa));
            expect_counted(NET_DROP_PROGRAM, -1);
            take_made(&made);
            for (unsigned k = 0; k <= DYNAMIC_INSTANCES; k++) {
                unsigned own = i < DYNAMIC_INSTANCES ? i : DYNAMIC_INSTANCE_NONE;

                assert_int_equal(made.hook[k], way == 1 && k == own);
            }
        }
        assert_int_equal(static_key_decrement(&receive_hook_dynamic), PATCH_OK);
        net_program_detach_all(card);
    }
    /* What a card gives back, the next one has. */
    net_fake_device_remove(cards[3]);
    cards[3] = net_fake_device_add(3, 0, 0);
    assert_int_equal(cards[3]->hook_instance, 3);
    for (unsigned i = 1; i < ARRAY_COUNT(cards); i++) {
        net_fake_device_remove(cards[i]);
    }
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
    cmocka_unit_test(each_step_of_a_frame_is_one_dynamic_call),
    cmocka_unit_test(hook_goes_the_way_that_the_key_says),
    cmocka_unit_test(answers_that_cannot_be_sent_are_counted),
};

HOST_TEST_MAIN(tests, NULL)
