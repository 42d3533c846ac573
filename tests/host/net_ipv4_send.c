// SPDX-License-Identifier: MIT
/* Tests of net/ipv4_send.c and ipv4_text.c: which way a packet takes, what stands in it, and what
 * becomes of one that has no way; addresses as text, the malformed ones above all. Checksums are
 * computed by the test itself. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/ipv4.h"
#include "net/net_config.h"

static void routes_lead_to_neighbours_or_the_gateway(void **state)
{
    static const uint32_t nowhere[] = {0, 1, 0x7f000001, 0xe0000001, 0xf0000001, 0xfffffffe};
    struct net_device *small;
    uint32_t hop;

    (void)state;
    net_begin();
    small = net_fake_device_add(1, 0x0a000091, 0xfffffff0);
    net_counters_take();
    net_fake_sent_count = 0;
    assert_ptr_equal(ipv4_route(PEER_ADDRESS, &hop), nic);
    assert_int_equal(hop, PEER_ADDRESS);
    assert_ptr_equal(ipv4_route(0x0a000092, &hop), small); /* the smaller net */
    assert_int_equal(hop, 0x0a000092);
    assert_ptr_equal(ipv4_route(FAR_ADDRESS, &hop), nic);
    assert_int_equal(hop, GATE_ADDRESS);
    assert_ptr_equal(ipv4_route(0x0a000091, &hop), small); /* ourselves */
    assert_ptr_equal(ipv4_route(IPV4_BROADCAST, &hop), nic);
    for (unsigned i = 0; i < ARRAY_COUNT(nowhere); i++) {
        assert_null(ipv4_route(nowhere[i], &hop));
    }
    assert_true(net_config_set_gateway(0));
    assert_null(ipv4_route(FAR_ADDRESS, &hop));
    net_end();
}

static struct packet *payload_of(uint32_t length)
{
    struct packet *packet = packet_allocate(nic->pool);

    assert_non_null(packet);
    memset(packet_append(packet, length), 0x3c, length);
    return packet;
}

/* The frame that ipv4_send() makes. */
static void sent_frame(struct frame *frame, const uint8_t *destination_mac, uint32_t source,
                       uint32_t destination, uint32_t length)
{
    frame_ipv4(frame, 1, source, destination, NULL, 0, length);
    memcpy(frame->bytes, destination_mac, 6);
    memcpy(frame->bytes + 6, own_mac, 6);
    put16(frame->bytes + AT_IPV4 + 4, 0);
    put16(frame->bytes + AT_IPV4 + 6, 0x4000);
    frame->bytes[AT_IPV4 + 8] = 64;
    frame_fix_ipv4(frame);
    memset(frame->bytes + AT_IPV4 + 20, 0x3c, length);
}

static void packets_are_sent_with_a_right_header(void **state)
{
    struct frame expected, answer;

    (void)state;
    net_begin();
    ipv4_send(NULL, 0, FAR_ADDRESS, 1, payload_of(77));
    expect_counted(NET_SENT_ARP, -1); /* the packet waits */
    frame_arp(&answer, 2, peer_mac, GATE_ADDRESS, OWN_ADDRESS);
    receive(&answer);
    expect_counted(NET_RECEIVED_ARP, NET_SENT_ICMP, -1);
    sent_frame(&expected, peer_mac, OWN_ADDRESS, FAR_ADDRESS, 77);
    expect_sent(1, expected.bytes, expected.length);
    ipv4_send(nic, 0, NET_BROADCAST, 1, payload_of(77));
    sent_frame(&expected, all_mac, OWN_ADDRESS, NET_BROADCAST, 77);
    expect_sent(2, expected.bytes, expected.length);
    ipv4_send(NULL, 0x01020304, IPV4_BROADCAST, 1, payload_of(77));
    sent_frame(&expected, all_mac, 0x01020304, IPV4_BROADCAST, 77);
    expect_sent(3, expected.bytes, expected.length);
    expect_counted(NET_SENT_ICMP, NET_SENT_ICMP, -1);
    net_end();
}

static void packets_without_a_way_are_counted(void **state)
{
    struct frame expected;

    (void)state;
    net_begin();
    ipv4_send(NULL, 0, 0x7f000001, 1, payload_of(10));
    expect_counted(NET_DROP_NO_ROUTE, -1);
    assert_true(net_config_set_gateway(0));
    ipv4_send(NULL, 0, FAR_ADDRESS, 1, payload_of(10));
    ipv4_send(nic, 0, FAR_ADDRESS, 1, payload_of(10));
    expect_counted(NET_DROP_NO_ROUTE, NET_DROP_NO_ROUTE, -1);
    assert_true(net_config_set_address(nic, 0, 0, NET_CONFIG_NONE));
    net_counters_take();
    net_fake_sent_count = 0;
    ipv4_send(nic, 0, IPV4_BROADCAST, 1, payload_of(40)); /* as DHCP asks */
    expect_counted(NET_SENT_ICMP, -1);
    sent_frame(&expected, all_mac, 0, IPV4_BROADCAST, 40);
    expect_sent(0, expected.bytes, expected.length);
    ipv4_send(NULL, 0, IPV4_BROADCAST, 1, payload_of(40)); /* no device has an address */
    expect_counted(NET_DROP_NO_ROUTE, -1);
    net_end();
}

static void device_without_an_address_sends_to_broadcasts_alone(void **state)
{
    struct net_device *bare;

    (void)state;
    net_begin();
    bare = net_fake_device_add(1, 0, 0);
    net_counters_take();
    ipv4_send(bare, 0, OWN_ADDRESS, 1, payload_of(40));
    expect_counted(NET_DROP_NO_ADDRESS, -1);
    assert_int_equal(net_fake_sent_count, 0);
    net_end();
}

static void text_is_read_whole_or_not_at_all(void **state)
{
    static const char *const bad[] = {
        "",          "1",
        "1.2.3",     "1.2.3.",
        "1.2.3.4.",  "1.2.3.4.5",
        "256.1.1.1", "1.2.3.256",
        "01.2.3.4",  "1.2.3.04",
        " 1.2.3.4",  "1.2.3.4 ",
        "1..3.4",    ".1.2.3",
        "-1.2.3.4",  "+1.2.3.4",
        "1.2.3.4/8", "a.b.c.d",
        "0x1.2.3.4", "1,2,3,4",
        "1.2.3.4a",  "99999999999999999999.1.1.1",
        "00.0.0.0",
    };
    static const char *const bad_prefix[] = {
        "1.2.3.4",    "1.2.3.4/",   "1.2.3.4/33", "1.2.3.4/08", "1.2.3.4/-1",
        "1.2.3.4/8 ", "1.2.3.4//8", "1.2.3/8",    "/8",         ""};
    uint32_t address = 7, mask = 9;
    char text[IPV4_TEXT_BYTES];

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_false(ipv4_read(bad[i], &address));
        assert_int_equal(address, 7);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(bad_prefix); i++) {
        assert_false(ipv4_read_with_prefix(bad_prefix[i], &address, &mask));
        assert_true(address == 7 && mask == 9);
    }
    assert_true(ipv4_read("10.0.2.15", &address));
    assert_int_equal(address, 0x0a00020f);
    assert_true(ipv4_read_with_prefix("255.255.255.255/32", &address, &mask));
    assert_true(address == UINT32_MAX && mask == UINT32_MAX);
    assert_true(ipv4_read_with_prefix("0.0.0.0/0", &address, &mask));
    assert_true(address == 0 && mask == 0);
    assert_true(ipv4_read_with_prefix("10.0.2.15/24", &address, &mask));
    assert_true(address == 0x0a00020f && mask == 0xffffff00);
    ipv4_format(UINT32_MAX, text);
    assert_string_equal(text, "255.255.255.255");
    ipv4_format(0x0a00020f, text);
    assert_string_equal(text, "10.0.2.15");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(routes_lead_to_neighbours_or_the_gateway),
    cmocka_unit_test(packets_are_sent_with_a_right_header),
    cmocka_unit_test(packets_without_a_way_are_counted),
    cmocka_unit_test(device_without_an_address_sends_to_broadcasts_alone),
    cmocka_unit_test(text_is_read_whole_or_not_at_all),
};

HOST_TEST_MAIN(tests, NULL)
