// SPDX-License-Identifier: MIT
/* Tests of whom net/ answers, and of what it counts as sent: an answer goes to one other station
 * that asked us alone, or is dropped by its reason; a frame that found no room is not sent as well.
 * A port that echoes stands for every service. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/net_config.h"
#include "net/udp.h"

#define PORT 5000

static const uint8_t other_mac[6] = {2, 0, 0, 0, 0, 0x77};
static bool echo_was_sent;

static void handler_echoes(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    echo_was_sent = udp_send_back(datagram, false);
}

static void bind_echo(uint16_t port)
{
    assert_int_equal(udp_bind(port, handler_echoes, NULL), port);
}

static struct packet *payload_of(uint32_t length, uint8_t byte)
{
    struct packet *packet = packet_allocate(nic->pool);

    assert_non_null(packet);
    memset(packet_append(packet, length), byte, length);
    return packet;
}

static void only_what_went_out_is_counted_as_sent(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    bind_echo(PORT);
    frame_udp(&frame, 4000, PORT, 10);
    receive(&frame);
    assert_true(echo_was_sent);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_SENT_UDP, -1);
    net_fake_ring_is_full = true;
    receive(&frame);
    assert_false(echo_was_sent);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_TRANSMIT_FULL, -1);
    udp_send(nic, 1, NET_BROADCAST, 1, payload_of(2, 0));
    expect_counted(NET_DROP_TRANSMIT_FULL, -1);
    udp_send(nic, 1, PEER_ADDRESS, 1, payload_of(2, 0)); /* waits; nor can its question be asked */
    expect_counted(NET_DROP_TRANSMIT_FULL, -1);
    frame_arp(&frame, 2, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    receive(&frame); /* the wait is over, and the ring still full */
    expect_counted(NET_RECEIVED_ARP, NET_DROP_TRANSMIT_FULL, -1);
    net_fake_ring_is_full = false;
    udp_send(nic, 1, PEER_ADDRESS, 1, payload_of(2, 0));
    udp_send(nic, 1, NET_BROADCAST, 1, payload_of(2, 0));
    expect_counted(NET_SENT_UDP, NET_SENT_UDP, -1);
    udp_unbind(PORT);
    net_end();
}

static void broadcasts_are_not_answered(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    bind_echo(PORT);
    frame_udp(&frame, 4000, PORT, 10);
    put32(frame.bytes + AT_IPV4 + 16, IPV4_BROADCAST);
    frame_fix_ipv4(&frame);
    frame_fix_udp(&frame);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_ANSWER, -1);
    frame_udp(&frame, 4000, PORT, 10); /* our own address, in a frame to all */
    memcpy(frame.bytes, all_mac, 6);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_ANSWER, -1);
    frame_icmp(&frame, 8, 0, 56);
    memcpy(frame.bytes, all_mac, 6);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_ICMP, NET_DROP_ANSWER, -1);
    assert_int_equal(net_fake_sent_count, 0);
    udp_unbind(PORT);
    net_end();
}

static void services_that_answer_each_other_come_to_an_end(void **state)
{
    uint64_t before = net_counter_read(NET_DROP_ANSWER), sent = net_counter_read(NET_SENT_UDP),
             received = net_counter_read(NET_RECEIVED_UDP);

    (void)state;
    net_begin();
    bind_echo(PORT);
    bind_echo(PORT + 1);
    udp_send(NULL, PORT + 1, OWN_ADDRESS, PORT, payload_of(100, 0x77));
    assert_int_equal(net_counter_read(NET_DROP_ANSWER) - before, 1);
    /* The last answer was refused. */
    assert_int_equal(net_counter_read(NET_SENT_UDP) - sent,
                     net_counter_read(NET_RECEIVED_UDP) - received);
    assert_int_equal(net_fake_sent_count, 0);
    net_counters_take();
    udp_unbind(PORT);
    udp_unbind(PORT + 1);
    net_end();
}

static void other_user_of_our_address_is_named_once_a_minute(void **state)
{
    static const char first[] = "nic0: our address 10.0.0.1 is also used by 02:00:00:00:00:77\n";
    struct frame frame;

    (void)state;
    net_begin();
    frame_arp(&frame, 1, other_mac, OWN_ADDRESS, OWN_ADDRESS);
    for (unsigned i = 0; i < 5; i++) {
        receive(&frame);
        expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_CONFLICT, -1);
    }
    assert_string_equal(net_fake_log, first);
    net_fake_now_ns += 60 * SECOND;
    receive(&frame);
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, NET_RECEIVED_ARP, NET_DROP_ARP_CONFLICT, NET_DROP_ARP_CONFLICT,
                   -1);
    assert_string_equal(strchr(net_fake_log, '\n') + 1, first); /* once more */
    net_fake_log[0] = '\0';
    frame_arp(&frame, 1, own_mac, OWN_ADDRESS, OWN_ADDRESS); /* says that it is us */
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_MALFORMED, -1);
    assert_string_equal(net_fake_log, "");
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void arp_answers_single_hosts_alone(void **state)
{
    static const uint32_t senders[] = {0x7f000001, NET_BROADCAST, 0x0a000000, 1, 0xe0000001};
    static const uint8_t nobody[6];
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < ARRAY_COUNT(senders); i++) {
        frame_arp(&frame, 1, peer_mac, senders[i], OWN_ADDRESS);
        receive(&frame);
        expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_MALFORMED, -1);
    }
    frame_arp(&frame, 1, nobody, PEER_ADDRESS, OWN_ADDRESS);
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_MALFORMED, -1);
    frame_arp(&frame, 1, own_mac, PEER_ADDRESS, OWN_ADDRESS);
    receive(&frame);
    expect_counted(NET_RECEIVED_ARP, NET_DROP_ARP_MALFORMED, -1);
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(only_what_went_out_is_counted_as_sent),
    cmocka_unit_test(broadcasts_are_not_answered),
    cmocka_unit_test(services_that_answer_each_other_come_to_an_end),
    cmocka_unit_test(arp_answers_single_hosts_alone),
    cmocka_unit_test(other_user_of_our_address_is_named_once_a_minute),
};

HOST_TEST_MAIN(tests, NULL)
