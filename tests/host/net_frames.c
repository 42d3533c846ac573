// SPDX-License-Identifier: MIT
/* Frames for tests of net/; see net_frames.h. */
#include "tests/host/net_frames.h"

#include <string.h>

#include "net/arp.h"
#include "net/net_config.h"

struct net_device *nic;
const uint8_t own_mac[6] = {2, 0, 0, 0, 0, 1}, peer_mac[6] = {2, 0, 0, 0, 0, 0x99};
const uint8_t all_mac[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

static uint64_t counted[NET_COUNTER_COUNT];

void net_counters_take(void)
{
    for (unsigned i = 0; i < NET_COUNTER_COUNT; i++) {
        counted[i] = net_counter_read((enum net_counter)i);
    }
}

void net_begin(void)
{
    while (net_device_at(0) != NULL) { /* a test that failed left them */
        net_fake_device_remove(net_device_at(0));
    }
    arp_forget(NULL);
    net_fake_now_ns += 1000 * SECOND;
    net_fake_log[0] = '\0';
    net_fake_on_wait = NULL;
    net_fake_on_look = NULL;
    net_fake_sent_count = 0;
    net_fake_ring_is_full = false;
    nic = net_fake_device_add(0, OWN_ADDRESS, NET_MASK);
    assert_non_null(nic);
    assert_true(net_config_set_gateway(GATE_ADDRESS));
    net_fake_sent_count = 0; /* what told the neighbours of the address */
    net_counters_take();
}

void net_end(void)
{
    expect_counted(-1);
    arp_forget(NULL);
    assert_int_equal(net_fake_held(nic), 0);
    while (net_device_at(0) != NULL) {
        net_fake_device_remove(net_device_at(0));
    }
    assert_int_equal(net_fake_memory_count, 0);
}

void put16(uint8_t *at, unsigned value)
{
    at[0] = (uint8_t)(value / 256);
    at[1] = (uint8_t)(value % 256);
}

void put32(uint8_t *at, uint32_t value)
{
    put16(at, value / 65536);
    put16(at + 2, value % 65536);
}

unsigned get16(const uint8_t *at)
{
    return at[0] * 256u + at[1];
}

uint32_t get32(const uint8_t *at)
{
    return get16(at) * 65536u + get16(at + 2);
}

uint16_t plain_checksum(const uint8_t *bytes, size_t length, uint32_t sum)
{
    for (size_t i = 0; i < length; i++) {
        sum += i % 2 == 0 ? bytes[i] * 256u : bytes[i];
        while (sum > 0xffff) {
            sum = sum - 0x10000 + 1;
        }
    }
    while (sum > 0xffff) {
        sum = sum % 0x10000 + sum / 0x10000;
    }
    return (uint16_t)(0xffff - sum);
}

void frame_ethernet(struct frame *frame, const uint8_t *destination, uint16_t type)
{
    memset(frame, 0, sizeof(*frame));
    memcpy(frame->bytes, destination, 6);
    memcpy(frame->bytes + 6, peer_mac, 6);
    put16(frame->bytes + 12, type);
    frame->length = 60;
}

void frame_arp(struct frame *frame, unsigned operation, const uint8_t *sender_mac, uint32_t sender,
               uint32_t target)
{
    static const uint8_t start[] = {0, 1, 8, 0, 6, 4, 0};
    uint8_t *arp = frame->bytes + 14;

    frame_ethernet(frame, operation == 1 ? all_mac : own_mac, 0x0806);
    memcpy(arp, start, sizeof(start));
    arp[7] = (uint8_t)operation;
    memcpy(arp + 8, sender_mac, 6);
    put32(arp + 14, sender);
    memcpy(arp + 18, operation == 1 ? (const uint8_t[6]){0} : own_mac, 6);
    put32(arp + 24, target);
}

void frame_ipv4(struct frame *frame, uint8_t protocol, uint32_t source, uint32_t destination,
                const uint8_t *options, unsigned options_length, uint32_t payload)
{
    uint8_t *ip = frame->bytes + AT_IPV4;
    unsigned header = 20 + options_length;

    frame_ethernet(frame, own_mac, 0x0800);
    ip[0] = (uint8_t)(0x40 + header / 4);
    put16(ip + 2, header + payload);
    put16(ip + 4, 0x1234);
    ip[8] = 57;
    ip[9] = protocol;
    put32(ip + 12, source);
    put32(ip + 16, destination);
    for (unsigned i = 0; i < options_length; i++) {
        ip[20 + i] = options[i];
    }
    for (uint32_t i = 0; i < payload; i++) {
        ip[header + i] = (uint8_t)(i * 13 + 5);
    }
    frame->length = 14 + header + payload > 60 ? 14 + header + payload : 60;
    frame_fix_ipv4(frame);
}

void frame_fix_ipv4(struct frame *frame)
{
    uint8_t *ip = frame->bytes + AT_IPV4;

    put16(ip + 10, 0);
    put16(ip + 10, plain_checksum(ip, (ip[0] & 15u) * 4, 0));
}

void frame_icmp(struct frame *frame, unsigned type, unsigned code, uint32_t payload)
{
    uint8_t *icmp = frame->bytes + AT_ICMP;

    frame_ipv4(frame, 1, PEER_ADDRESS, OWN_ADDRESS, NULL, 0, 8 + payload);
    icmp[0] = (uint8_t)type;
    icmp[1] = (uint8_t)code;
    frame_fix_icmp(frame);
}

static unsigned transport_length(const struct frame *frame)
{
    return get16(frame->bytes + AT_IPV4 + 2) - (frame->bytes[AT_IPV4] & 15u) * 4;
}

void frame_fix_icmp(struct frame *frame)
{
    uint8_t *icmp = frame->bytes + AT_IPV4 + (frame->bytes[AT_IPV4] & 15u) * 4;

    put16(icmp + 2, 0);
    put16(icmp + 2, plain_checksum(icmp, transport_length(frame), 0));
}

void frame_udp(struct frame *frame, uint16_t from, uint16_t to, uint32_t payload)
{
    uint8_t *udp = frame->bytes + AT_UDP;

    frame_ipv4(frame, 17, PEER_ADDRESS, OWN_ADDRESS, NULL, 0, 8 + payload);
    put16(udp, from);
    put16(udp + 2, to);
    put16(udp + 4, 8 + payload);
    frame_fix_udp(frame);
}

void frame_fix_udp(struct frame *frame)
{
    uint8_t *ip = frame->bytes + AT_IPV4, *udp = ip + (ip[0] & 15u) * 4;
    uint32_t sum =
        get16(ip + 12) + get16(ip + 14) + get16(ip + 16) + get16(ip + 18) + 17 + get16(udp + 4);
    unsigned checksum;

    put16(udp + 6, 0);
    checksum = plain_checksum(udp, get16(udp + 4), sum);
    put16(udp + 6, checksum != 0 ? checksum : 0xffff);
}

void receive(const struct frame *frame)
{
    assert_true(net_fake_receive(nic, frame->bytes, frame->length, 0xaa));
}

void expect_counted(int first, ...)
{
    unsigned expected[NET_COUNTER_COUNT] = {0};
    va_list arguments;

    va_start(arguments, first);
    for (int counter = first; counter >= 0; counter = va_arg(arguments, int)) {
        expected[counter]++;
    }
    va_end(arguments);
    for (unsigned i = 0; i < NET_COUNTER_COUNT; i++) {
        uint64_t more = net_counter_read((enum net_counter)i) - counted[i];

        if (more != expected[i]) {
            fail_msg("%s went up by %lu, not by %u", net_counter_names[i], more, expected[i]);
        }
    }
    net_counters_take();
}

void expect_sent(unsigned index, const uint8_t *bytes, uint32_t length)
{
    assert_true(index < net_fake_sent_count && index < NET_FAKE_SENT_MAX);
    assert_int_equal(net_fake_sent[index].length, length);
    assert_memory_equal(net_fake_sent[index].bytes, bytes, length);
}
