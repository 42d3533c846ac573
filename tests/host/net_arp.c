// SPDX-License-Identifier: MIT
/* Tests of net/arp.c and net/arp_table.c: answers byte for byte, what is learnt and what is not,
 * questions and their repetition, packets that wait, a table that is flooded. Time is a variable,
 * so that a question is repeated in the very tick that it should be. Threads that meet in the table
 * are not tested: all of it is under one lock. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/arp.h"
#include "net/net_config.h"

static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 0x77};

/* What ask() sends for @target. */
static void expect_question(unsigned index, uint32_t target)
{
    struct frame frame;

    frame_arp(&frame, 1, own_mac, OWN_ADDRESS, target);
    memcpy(frame.bytes + 6, own_mac, 6);
    expect_sent(index, frame.bytes, 60);
}

/* A packet that somebody here wants sent to @next_hop, 20 bytes of @byte: none of UDP's. */
static void send_to(uint32_t next_hop, uint8_t byte)
{
    struct packet *packet = packet_allocate(nic->pool);

    assert_non_null(packet);
    memset(packet_append(packet, 20), byte, 20);
    arp_send_ipv4(nic, next_hop, packet);
}

static void expect_sent_to(unsigned index, const uint8_t *mac, uint8_t byte)
{
    struct frame frame;

    frame_ethernet(&frame, mac, 0x0800);
    memcpy(frame.bytes + 6, own_mac, 6);
    memset(frame.bytes + 14, byte, 20);
    expect_sent(index, frame.bytes, 60);
}

/* The peer's answer. */
static void answer_from(const uint8_t *mac, uint32_t address)
{
    struct frame frame;

    frame_arp(&frame, 2, mac, address, OWN_ADDRESS);
    receive(&frame);
}

static unsigned entries(enum arp_state state)
{
    struct arp_view view;
    unsigned count = 0;

    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        count += arp_look(i, &view) && view.state == state;
    }
    return count;
}

/* nic0 knows the peer. */
static void learn_peer(void)
{
    send_to(PEER_ADDRESS, 1);
    answer_from(peer_mac, PEER_ADDRESS);
    expect_counted(NET_SENT_ARP, NET_RECEIVED_ARP, NET_SENT_ICMP, -1);
    net_fake_sent_count = 0;
}

static void question_for_our_address_is_answered(void **state)
{
    struct frame question, answer;

    (void)state;
    net_begin();
    frame_arp(&question, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    frame_arp(&answer, 2, own_mac, OWN_ADDRESS, PEER_ADDRESS);
    memcpy(answer.bytes, peer_mac, 6);
    memcpy(answer.bytes + 6, own_mac, 6);
    memcpy(answer.bytes + 32, peer_mac, 6);
    memset(question.bytes + 42, 0xee, 18); /* padding is not sent back */
    receive(&question);
    expect_counted(NET_RECEIVED_ARP, NET_SENT_ARP, -1);
    expect_sent(0, answer.bytes, 60);
    assert_int_equal(net_fake_sent[0].queue, 1);
    assert_int_equal(entries(ARP_KNOWN) + entries(ARP_ASKED), 0); /* asking teaches nothing */
    memcpy(question.bytes, own_mac, 6); /* asked of us alone, without padding */
    question.length = 42;
    receive(&question);
    expect_counted(NET_RECEIVED_ARP, NET_SENT_ARP, -1);
    expect_sent(1, answer.bytes, 60);
    put32(question.bytes + 28, 0); /* asked by a host that has no address yet (RFC 5227) */
    put32(answer.bytes + 38, 0);
    receive(&question);
    expect_counted(NET_RECEIVED_ARP, NET_SENT_ARP, -1);
    expect_sent(2, answer.bytes, 60);
    net_end();
}

static void malformed_packets_are_dropped(void **state)
{
    static const struct {
        unsigned at;
        uint16_t value;
    } wrong[] = {{14, 2}, {14, 0}, {16, 0x86dd}, {18, 0x0804}, {18, 0x0610},
                 {20, 0}, {20, 3}, {22, 0x0300}, {28, 0xe000}, {28, 0xffff}};
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(wrong); i++) {
        frame_arp(&frame, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
        put16(frame.bytes + wrong[i].at, wrong[i].value);
        receive(&frame);
        expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_MALFORMED, -1);
    }
    frame_arp(&frame, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    for (frame.length = 14; frame.length < 42; frame.length++) {
        receive(&frame);
        expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_MALFORMED, -1);
    }
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void questions_for_others_are_dropped(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    frame_arp(&frame, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS + 9);
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_NOT_FOR_US, -1);
    net_config_set_address(nic, 0, 0, NET_CONFIG_NONE);
    net_fake_sent_count = 0;
    frame_arp(&frame, 1, peer_mac, PEER_ADDRESS, 0); /* not our address, for we have none */
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_NOT_FOR_US, -1);
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void answers_nobody_asked_for_teach_nothing(void **state)
{
    (void)state;
    net_begin();
    answer_from(peer_mac, PEER_ADDRESS);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_NOT_FOR_US, -1);
    assert_int_equal(entries(ARP_KNOWN), 0);
    net_end();
}

static void flood_of_addresses_leaves_the_table_alone(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    learn_peer();
    for (uint32_t i = 0; i < 10000; i++) {
        uint8_t mac[6] = {2, 1, 0, 0, (uint8_t)(i / 256), (uint8_t)i};

        frame_arp(&frame, 1 + i % 2, mac, 0x0a010000 + i,
                  i % 3 == 0 ? 0x0a010000 + i : OWN_ADDRESS);
        receive(&frame);
    }
    assert_int_equal(net_fake_held(nic), 0);
    assert_int_equal(entries(ARP_KNOWN), 1);
    assert_int_equal(entries(ARP_ASKED), 0);
    net_fake_sent_count = 0;
    send_to(PEER_ADDRESS, 9);
    expect_sent_to(0, peer_mac, 9);
    net_counters_take();
    net_end();
}

static void packets_wait_for_the_answer_in_order(void **state)
{
    (void)state;
    net_begin();
    for (uint8_t i = 0; i < ARP_PENDING_MAX; i++) {
        send_to(PEER_ADDRESS, i);
    }
    expect_counted(NET_SENT_ARP, -1); /* one question for all */
    expect_question(0, PEER_ADDRESS);
    assert_int_equal(net_fake_held(nic), ARP_PENDING_MAX);
    answer_from(peer_mac, PEER_ADDRESS);
    expect_counted(NET_RECEIVED_ARP, NET_SENT_ICMP, NET_SENT_ICMP, NET_SENT_ICMP, NET_SENT_ICMP,
                   -1);
    for (uint8_t i = 0; i < ARP_PENDING_MAX; i++) {
        expect_sent_to(1 + i, peer_mac, i);
    }
    assert_int_equal(net_fake_held(nic), 0);
    send_to(PEER_ADDRESS, 0x55); /* known now: at once */
    expect_counted(NET_SENT_ICMP, -1);
    expect_sent_to(1 + ARP_PENDING_MAX, peer_mac, 0x55);
    assert_int_equal(net_fake_sent_count, 2 + ARP_PENDING_MAX);
    net_end();
}

static void oldest_waiting_packet_makes_room(void **state)
{
    (void)state;
    net_begin();
    for (uint8_t i = 0; i < ARP_PENDING_MAX + 2; i++) {
        send_to(PEER_ADDRESS, i);
    }
    expect_counted(NET_SENT_ARP, NET_DROP_ARP_UNRESOLVED, NET_DROP_ARP_UNRESOLVED, -1);
    assert_int_equal(net_fake_held(nic), ARP_PENDING_MAX);
    answer_from(peer_mac, PEER_ADDRESS);
    expect_counted(NET_RECEIVED_ARP, NET_SENT_ICMP, NET_SENT_ICMP, NET_SENT_ICMP, NET_SENT_ICMP,
                   -1);
    expect_sent_to(1, peer_mac, 2);
    expect_sent_to(ARP_PENDING_MAX, peer_mac, ARP_PENDING_MAX + 1);
    net_end();
}

static void question_of_the_asked_host_answers_ours(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    send_to(PEER_ADDRESS, 3);
    frame_arp(&frame, 1, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    receive(&frame);
    expect_counted(NET_SENT_ARP, NET_RECEIVED_ARP, NET_SENT_ARP, NET_SENT_ICMP, -1);
    expect_sent_to(2, peer_mac, 3);
    net_end();
}

static void unanswered_question_is_repeated_and_given_up(void **state)
{
    uint64_t start;

    (void)state;
    net_begin();
    start = net_fake_now_ns;
    send_to(PEER_ADDRESS, 1);
    expect_counted(NET_SENT_ARP, -1);
    arp_tick(start + ARP_RETRY_NS - 1);
    expect_counted(-1);
    arp_tick(start + ARP_RETRY_NS);
    expect_counted(NET_SENT_ARP, -1);
    arp_tick(start + ARP_RETRY_NS + ARP_RETRY_NS / 2);
    expect_counted(-1);
    arp_tick(start + 2 * ARP_RETRY_NS);
    expect_counted(NET_SENT_ARP, -1);
    expect_question(2, PEER_ADDRESS);
    assert_int_equal(net_fake_held(nic), 1);
    arp_tick(start + 3 * ARP_RETRY_NS);
    expect_counted(NET_DROP_ARP_UNRESOLVED, -1);
    assert_int_equal(entries(ARP_ASKED), 0);
    assert_int_equal(net_fake_sent_count, ARP_REQUESTS_MAX);
    net_end();
}

static void known_host_is_forgotten_when_nobody_uses_it(void **state)
{
    (void)state;
    net_begin();
    learn_peer();
    net_fake_now_ns += ARP_LIFETIME_NS - 1;
    arp_tick(net_fake_now_ns);
    assert_int_equal(entries(ARP_KNOWN), 1);
    net_fake_now_ns += 1;
    arp_tick(net_fake_now_ns);
    assert_int_equal(entries(ARP_KNOWN), 0);
    expect_counted(-1);
    net_end();
}

static void used_host_is_asked_again_before_it_is_forgotten(void **state)
{
    (void)state;
    net_begin();
    learn_peer();
    net_fake_now_ns += ARP_LIFETIME_NS / 2;
    send_to(PEER_ADDRESS, 1);
    net_fake_now_ns += ARP_LIFETIME_NS / 2;
    arp_tick(net_fake_now_ns);
    expect_counted(NET_SENT_ICMP, NET_SENT_ARP, -1);
    send_to(PEER_ADDRESS, 2); /* meanwhile it is used on */
    expect_sent_to(2, peer_mac, 2);
    answer_from(other_mac, PEER_ADDRESS); /* its card was changed */
    expect_counted(NET_SENT_ICMP, NET_RECEIVED_ARP, -1);
    net_fake_now_ns += ARP_LIFETIME_NS - 1;
    arp_tick(net_fake_now_ns);
    expect_counted(-1);
    send_to(PEER_ADDRESS, 3);
    expect_counted(NET_SENT_ICMP, -1);
    expect_sent_to(3, other_mac, 3);
    net_fake_now_ns += 1;
    for (unsigned i = 0; i < ARP_REQUESTS_MAX; i++, net_fake_now_ns += ARP_RETRY_NS) {
        arp_tick(net_fake_now_ns);
        expect_counted(NET_SENT_ARP, -1);
        assert_int_equal(entries(ARP_KNOWN), 1);
    }
    arp_tick(net_fake_now_ns);
    assert_int_equal(entries(ARP_KNOWN), 0);
    expect_counted(-1);
    net_end();
}

static void known_host_that_moves_is_followed(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    learn_peer();
    frame_arp(&frame, 1, other_mac, PEER_ADDRESS, PEER_ADDRESS); /* tells everybody */
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, -1);
    send_to(PEER_ADDRESS, 4);
    expect_counted(NET_SENT_ICMP, -1);
    expect_sent_to(0, other_mac, 4);
    net_end();
}

static void full_table_replaces_what_was_used_longest_ago(void **state)
{
    struct arp_view view;

    (void)state;
    net_begin();
    for (uint32_t i = 0; i < ARP_ENTRY_MAX; i++, net_fake_now_ns++) {
        send_to(0x0a000010 + i, 1);
        answer_from(peer_mac, 0x0a000010 + i);
    }
    send_to(0x0a000010, 1); /* used again: the second is the oldest now */
    assert_int_equal(entries(ARP_KNOWN), ARP_ENTRY_MAX);
    send_to(0x0a0000f0, 7);
    assert_int_equal(entries(ARP_KNOWN), ARP_ENTRY_MAX - 1);
    assert_int_equal(entries(ARP_ASKED), 1);
    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        assert_true(arp_look(i, &view));
        assert_int_not_equal(view.address, 0x0a000011);
    }
    arp_forget(NULL);
    net_counters_take();
    net_end();
}

/* More hosts than entries, and none answers: entries and the packets that wait in them are given up
 * for others, and none is lost. */
static void questions_sent_everywhere_never_outgrow_the_table(void **state)
{
    uint64_t before = net_counter_read(NET_DROP_ARP_UNRESOLVED);
    uint64_t sent = 0;

    (void)state;
    net_begin();
    for (uint32_t i = 0; i < 10000; i++, net_fake_now_ns++) {
        if (net_fake_held(nic) + 2 > NET_FAKE_PACKETS) { /* all of them wait */
            arp_forget(i % 2 == 0 ? nic : NULL);
            assert_int_equal(net_fake_held(nic), 0);
        }
        send_to(0x0a000010 + i % 230, 1);
        sent++;
        assert_true(entries(ARP_ASKED) <= ARP_ENTRY_MAX);
    }
    arp_forget(nic);
    assert_int_equal(net_counter_read(NET_DROP_ARP_UNRESOLVED) - before, sent);
    net_counters_take();
    net_end();
}

/* One that has waiting packets is replaced: they are counted. */
static void replaced_entry_gives_up_what_waits_in_it(void **state)
{
    (void)state;
    net_begin();
    send_to(PEER_ADDRESS, 1);
    send_to(PEER_ADDRESS, 1);
    for (uint32_t i = 0; i < ARP_ENTRY_MAX; i++) {
        net_fake_now_ns++;
        net_counters_take();
        send_to(0x0a000010 + i, 1);
        answer_from(peer_mac, 0x0a000010 + i);
    }
    expect_counted(NET_SENT_ARP, NET_RECEIVED_ARP, NET_SENT_ICMP, NET_DROP_ARP_UNRESOLVED,
                   NET_DROP_ARP_UNRESOLVED, -1);
    assert_int_equal(net_fake_held(nic), 0);
    net_end();
}

static void listing_tells_what_the_table_holds(void **state)
{
    struct arp_view view = {0};
    unsigned index = 0;

    (void)state;
    net_begin();
    send_to(PEER_ADDRESS, 1);
    send_to(PEER_ADDRESS, 1);
    net_fake_now_ns += 5 * SECOND;
    while (!arp_look(index, &view)) {
        index++;
    }
    assert_int_equal(view.state, ARP_ASKED);
    assert_int_equal(view.pending, 2);
    assert_int_equal(view.age_ns, 5 * SECOND);
    assert_ptr_equal(view.device, nic);
    assert_string_equal(arp_state_name(view.state), "asked");
    answer_from(peer_mac, PEER_ADDRESS);
    net_fake_now_ns += SECOND;
    assert_true(arp_look(index, &view));
    assert_string_equal(arp_state_name(view.state), "known");
    assert_memory_equal(view.mac, peer_mac, 6);
    assert_int_equal(view.address, PEER_ADDRESS);
    assert_int_equal(view.age_ns, SECOND);
    assert_int_equal(view.pending, 0);
    arp_forget(nic);
    assert_false(arp_look(index, &view));
    assert_string_equal(arp_state_name(view.state), "free");
    expect_counted(NET_SENT_ARP, NET_RECEIVED_ARP, NET_SENT_ICMP, NET_SENT_ICMP, -1);
    net_end();
}

static void announcement_tells_everybody(void **state)
{
    (void)state;
    net_begin();
    arp_announce(nic);
    expect_counted(NET_SENT_ARP, -1);
    expect_question(0, OWN_ADDRESS);
    net_end();
}

static void question_without_a_packet_is_counted(void **state)
{
    struct packet *all[NET_FAKE_PACKETS];

    (void)state;
    net_begin();
    assert_int_equal(packet_allocate_many(nic->pool, all, NET_FAKE_PACKETS), NET_FAKE_PACKETS);
    packet_append(all[0], 20);
    memset(all[0]->data, 0, 20);
    arp_send_ipv4(nic, PEER_ADDRESS, all[0]);
    expect_counted(NET_DROP_NO_PACKET, -1);
    packet_free_many(all + 1, NET_FAKE_PACKETS - 1);
    arp_tick(net_fake_now_ns + ARP_RETRY_NS); /* asks again */
    expect_counted(NET_SENT_ARP, -1);
    arp_forget(nic);
    expect_counted(NET_DROP_ARP_UNRESOLVED, -1);
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(question_for_our_address_is_answered),
    cmocka_unit_test(malformed_packets_are_dropped),
    cmocka_unit_test(questions_for_others_are_dropped),
    cmocka_unit_test(answers_nobody_asked_for_teach_nothing),
    cmocka_unit_test(flood_of_addresses_leaves_the_table_alone),
    cmocka_unit_test(packets_wait_for_the_answer_in_order),
    cmocka_unit_test(oldest_waiting_packet_makes_room),
    cmocka_unit_test(question_of_the_asked_host_answers_ours),
    cmocka_unit_test(unanswered_question_is_repeated_and_given_up),
    cmocka_unit_test(known_host_is_forgotten_when_nobody_uses_it),
    cmocka_unit_test(used_host_is_asked_again_before_it_is_forgotten),
    cmocka_unit_test(known_host_that_moves_is_followed),
    cmocka_unit_test(full_table_replaces_what_was_used_longest_ago),
    cmocka_unit_test(questions_sent_everywhere_never_outgrow_the_table),
    cmocka_unit_test(replaced_entry_gives_up_what_waits_in_it),
    cmocka_unit_test(listing_tells_what_the_table_holds),
    cmocka_unit_test(announcement_tells_everybody),
    cmocka_unit_test(question_without_a_packet_is_counted),
};

HOST_TEST_MAIN(tests, NULL)
