// SPDX-License-Identifier: MIT
/* Tests of net/udp.c: lengths that lie, checksums, ports and their handlers; datagrams sent and
 * sent back, byte for byte; and that udp_unbind() waits for a handler: one runs in a thread of its
 * own and ends only when the other thread has been seen waiting, so a wait that is left out is
 * noticed always, not by luck. What it does not show: that the order of the two counters is right
 * on every CPU; udp.c argues that. */
#include "tests/host/net_frames.h"

#include <pthread.h>
#include <sanitizer/asan_interface.h>
#include <semaphore.h>
#include <string.h>

#include "arch/percpu.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "net/udp.h"

#define PORT 5000

static struct {
    unsigned calls;
    void *argument;
    uint16_t source_port, destination_port;
    uint32_t source, destination, length;
    bool is_broadcast;
    uint8_t payload[2048];
} got;

static void handler_keeps(void *argument, const struct udp_datagram *datagram)
{
    got.calls++;
    got.argument = argument;
    got.source_port = datagram->source_port;
    got.destination_port = datagram->destination_port;
    got.source = datagram->receipt->source;
    got.destination = datagram->receipt->destination;
    got.is_broadcast = datagram->receipt->is_broadcast;
    got.length = datagram->packet->length;
    memcpy(got.payload, datagram->packet->data, datagram->packet->length);
    packet_free(datagram->packet);
}

static void handler_echoes(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    udp_send_back(datagram, false);
}

/* Every other byte, one byte more, all of them increased. */
static void handler_changes(void *argument, const struct udp_datagram *datagram)
{
    struct packet *packet = datagram->packet;

    (void)argument;
    packet_append(packet, 1);
    ASAN_UNPOISON_MEMORY_REGION(packet->data, packet->length);
    for (uint32_t i = 0; i < packet->length; i++) {
        packet->data[i] = (uint8_t)(i * 3);
    }
    udp_send_back(datagram, true);
}

static void bind_port(uint16_t port, udp_handler *handler)
{
    memset(&got, 0, sizeof(got));
    assert_int_equal(udp_bind(port, handler, &got), port);
}

static void datagrams_reach_the_handler_of_their_port(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    bind_port(PORT, handler_keeps);
    for (uint32_t payload = 0; payload <= UDP_PAYLOAD_MAX; payload++) {
        frame_udp(&frame, 4000, PORT, payload);
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, -1);
        assert_int_equal(got.calls, payload + 1);
        assert_int_equal(got.length, payload);
        assert_memory_equal(got.payload, frame.bytes + AT_DATA, payload);
    }
    assert_ptr_equal(got.argument, &got);
    assert_int_equal(got.source_port, 4000);
    assert_int_equal(got.destination_port, PORT);
    assert_int_equal(got.source, PEER_ADDRESS);
    assert_int_equal(got.destination, OWN_ADDRESS);
    assert_false(got.is_broadcast);
    put32(frame.bytes + AT_IPV4 + 16, NET_BROADCAST);
    frame_fix_ipv4(&frame);
    frame_fix_udp(&frame);
    receive(&frame);
    assert_true(got.is_broadcast);
    net_counters_take();
    udp_unbind(PORT);
    net_end();
}

static void lengths_that_lie_are_dropped(void **state)
{
    struct frame frame;

    (void)state;
    net_begin();
    bind_port(PORT, handler_keeps);
    for (unsigned payload = 0; payload < 8; payload++) {
        frame_ipv4(&frame, 17, PEER_ADDRESS, OWN_ADDRESS, NULL, 0, payload);
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_SHORT, -1);
    }
    frame_udp(&frame, 4000, PORT, 100);
    put16(frame.bytes + AT_UDP + 6, 0); /* no checksum: the length is all that is looked at */
    for (unsigned length = 0; length <= 0xffff; length += length < 200 ? 1 : 101) {
        put16(frame.bytes + AT_UDP + 4, length);
        got.calls = 0;
        receive(&frame);
        if (length < 8 || length > 108) {
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_LENGTH, -1);
            assert_int_equal(got.calls, 0);
        } else { /* less than there is: the rest is not data */
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, -1);
            assert_int_equal(got.length, length - 8);
        }
    }
    udp_unbind(PORT);
    net_end();
}

static void wrong_checksums_are_dropped(void **state)
{
    struct frame good, frame;

    (void)state;
    net_begin();
    bind_port(PORT, handler_keeps);
    frame_udp(&good, 4000, PORT, 57);
    for (unsigned bit = 0; bit < 8 * 65; bit++) {
        if (bit / 8 != 4 && bit / 8 != 5) { /* the length has reasons of its own */
            frame = good;
            frame.bytes[AT_UDP + bit / 8] ^= (uint8_t)(1 << bit % 8);
            receive(&frame);
            expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_CHECKSUM, -1);
        }
    }
    frame = good; /* the addresses are in it too */
    put32(frame.bytes + AT_IPV4 + 12, PEER_ADDRESS + 1);
    frame_fix_ipv4(&frame);
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_CHECKSUM, -1);
    frame = good;
    put16(frame.bytes + AT_UDP + 6, 0);
    frame.bytes[AT_DATA] ^= 0xff; /* without a checksum nobody can tell */
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, -1);
    assert_int_equal(got.calls, 1);
    udp_unbind(PORT);
    net_end();
}

static void ports_are_bound_once_and_freed(void **state)
{
    uint16_t ports[UDP_PORT_MAX];
    struct frame frame;

    (void)state;
    net_begin();
    for (unsigned i = 0; i < UDP_PORT_MAX; i++) {
        ports[i] = udp_bind(i % 2 == 0 ? (uint16_t)(PORT + i) : 0, handler_keeps, NULL);
        assert_true(i % 2 == 0 ? ports[i] == PORT + i : ports[i] >= 49152);
        for (unsigned j = 0; j < i; j++) {
            assert_int_not_equal(ports[i], ports[j]);
        }
        assert_int_equal(udp_bind(ports[i], handler_keeps, NULL), 0);
    }
    assert_int_equal(udp_bind(0, handler_keeps, NULL), 0);
    assert_int_equal(udp_bind(9999, handler_keeps, NULL), 0);
    for (unsigned i = 0; i < UDP_PORT_MAX; i++) {
        udp_unbind(ports[i]);
        udp_unbind(ports[i]); /* not bound: nothing happens */
        frame_udp(&frame, 4000, ports[i], 10);
        put32(frame.bytes + AT_IPV4 + 16, NET_BROADCAST); /* no error is sent */
        frame_fix_ipv4(&frame);
        frame_fix_udp(&frame);
        receive(&frame);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, -1);
    }
    frame_udp(&frame, 4000, 0, 10); /* port 0 is nobody's, not that of free slots */
    net_fake_now_ns += SECOND;
    receive(&frame);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_UDP_PORT, NET_SENT_ICMP, -1);
    net_end();
}

static void chosen_ports_go_round(void **state)
{
    uint16_t first = udp_bind(0, handler_keeps, NULL), kept = 0;

    (void)state;
    net_begin();
    udp_unbind(first);
    for (unsigned i = 0; i < 2 * 16384 + 10; i++) { /* twice around, past one that is taken */
        uint16_t port = udp_bind(0, handler_keeps, NULL);

        assert_true(port >= 49152 && port != kept);
        if (kept == 0) {
            kept = port;
        } else {
            udp_unbind(port);
        }
    }
    udp_unbind(kept);
    net_end();
}

/* The datagram that goes back for @question. */
static void answer_to(const struct frame *question, struct frame *answer)
{
    *answer = *question;
    memcpy(answer->bytes, question->bytes + 6, 6);
    memcpy(answer->bytes + 6, own_mac, 6);
    answer->bytes[AT_IPV4 + 8] = 64;
    memcpy(answer->bytes + AT_IPV4 + 12, question->bytes + AT_IPV4 + 16, 4);
    memcpy(answer->bytes + AT_IPV4 + 16, question->bytes + AT_IPV4 + 12, 4);
    memcpy(answer->bytes + AT_UDP, question->bytes + AT_UDP + 2, 2);
    memcpy(answer->bytes + AT_UDP + 2, question->bytes + AT_UDP, 2);
    frame_fix_ipv4(answer);
}

static void echo_returns_every_byte_of_every_size(void **state)
{
    struct frame question, answer;

    (void)state;
    net_begin();
    bind_port(PORT, handler_echoes);
    for (uint32_t payload = 0; payload <= UDP_PAYLOAD_MAX; payload++) {
        frame_udp(&question, 4000, PORT, payload);
        answer_to(&question, &answer);
        net_fake_sent_count = 0;
        receive(&question);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_SENT_UDP, -1);
        expect_sent(0, answer.bytes, answer.length);
        assert_int_equal(net_fake_sent[0].queue, 1);
    }
    put16(question.bytes + AT_UDP + 6, 0); /* without a checksum: neither has the answer */
    put16(answer.bytes + AT_UDP + 6, 0);
    receive(&question);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_SENT_UDP, -1);
    expect_sent(1, answer.bytes, answer.length);
    udp_unbind(PORT);
    net_end();
}

static void echo_of_less_than_the_packet_holds_is_right(void **state)
{
    struct frame question, answer;

    (void)state;
    net_begin();
    bind_port(PORT, handler_echoes);
    frame_udp(&question, 4000, PORT, 200);
    put16(question.bytes + AT_UDP + 4, 108); /* 100 bytes of data, 100 of nothing */
    frame_fix_udp(&question);
    answer_to(&question, &answer);
    put16(answer.bytes + AT_IPV4 + 2, 128);
    frame_fix_ipv4(&answer);
    receive(&question);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_SENT_UDP, -1);
    expect_sent(0, answer.bytes, 142);
    udp_unbind(PORT);
    net_end();
}

static void changed_answers_get_a_new_checksum(void **state)
{
    struct frame question, answer;

    (void)state;
    net_begin();
    bind_port(PORT, handler_changes);
    for (uint32_t payload = 0; payload < UDP_PAYLOAD_MAX; payload++) {
        frame_udp(&question, 4000, PORT, payload);
        frame_udp(&answer, 4000, PORT, payload + 1);
        for (uint32_t i = 0; i <= payload; i++) {
            answer.bytes[AT_DATA + i] = (uint8_t)(i * 3);
        }
        answer_to(&answer, &answer);
        memcpy(answer.bytes, peer_mac, 6);
        put32(answer.bytes + AT_IPV4 + 12, OWN_ADDRESS);
        put32(answer.bytes + AT_IPV4 + 16, PEER_ADDRESS);
        put16(answer.bytes + AT_UDP, PORT);
        put16(answer.bytes + AT_UDP + 2, 4000);
        frame_fix_ipv4(&answer);
        frame_fix_udp(&answer);
        net_fake_sent_count = 0;
        receive(&question);
        expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_SENT_UDP, -1);
        expect_sent(0, answer.bytes, answer.length);
    }
    frame_udp(&question, 4000, PORT, UDP_PAYLOAD_MAX); /* one byte more does not fit */
    receive(&question);
    expect_counted(NET_RECEIVED_IPV4, NET_RECEIVED_UDP, NET_DROP_FRAME_LONG, -1);
    udp_unbind(PORT);
    net_end();
}

static struct packet *payload_of(uint32_t length, uint8_t byte)
{
    struct packet *packet = packet_allocate(nic->pool);

    assert_non_null(packet);
    memset(packet_append(packet, length), byte, length);
    return packet;
}

static void datagrams_are_sent_with_right_headers(void **state)
{
    struct frame expected, answer;

    (void)state;
    net_begin();
    frame_arp(&answer, 2, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    for (uint32_t payload = 0; payload <= UDP_PAYLOAD_MAX; payload += 61) {
        udp_send(NULL, 1234, PEER_ADDRESS, 4321, payload_of(payload, 0x5a));
        if (payload == 0) {
            receive(&answer);
        }
        frame_udp(&expected, 1234, 4321, payload);
        memset(expected.bytes + AT_DATA, 0x5a, payload);
        memcpy(expected.bytes, peer_mac, 6);
        memcpy(expected.bytes + 6, own_mac, 6);
        put16(expected.bytes + AT_IPV4 + 4, 0);
        put16(expected.bytes + AT_IPV4 + 6, 0x4000);
        expected.bytes[AT_IPV4 + 8] = 64;
        put32(expected.bytes + AT_IPV4 + 12, OWN_ADDRESS);
        put32(expected.bytes + AT_IPV4 + 16, PEER_ADDRESS);
        frame_fix_ipv4(&expected);
        frame_fix_udp(&expected);
        expect_sent(net_fake_sent_count - 1, expected.bytes, expected.length);
    }
    net_counters_take();
    udp_send(NULL, 1234, PEER_ADDRESS, 4321, payload_of(UDP_PAYLOAD_MAX + 1, 0));
    expect_counted(NET_DROP_FRAME_LONG, -1);
    udp_send(NULL, 1234, 0x7f000001, 4321, payload_of(10, 0));
    expect_counted(NET_DROP_NO_ROUTE, -1);
    net_end();
}

/* A checksum that comes out as 0 is sent as 0xffff: 0 says that there is none. */
static void checksum_of_zero_is_sent_as_its_other_form(void **state)
{
    struct frame frame;
    uint8_t *sent;

    (void)state;
    net_begin();
    frame_arp(&frame, 2, peer_mac, PEER_ADDRESS, OWN_ADDRESS);
    udp_send(NULL, 1, PEER_ADDRESS, 1, payload_of(2, 0));
    receive(&frame);
    sent = net_fake_sent[net_fake_sent_count - 1].bytes;
    /* The checksum itself as data makes the sum of all others 0xffff. */
    struct packet *packet = payload_of(2, 0);
    memcpy(packet->data, sent + AT_UDP + 6, 2);
    udp_send(NULL, 1, PEER_ADDRESS, 1, packet);
    sent = net_fake_sent[net_fake_sent_count - 1].bytes;
    assert_int_equal(get16(sent + AT_UDP + 6), 0xffff);
    net_counters_take();
    net_end();
}

static void datagrams_to_ourselves_need_no_wire(void **state)
{
    (void)state;
    net_begin();
    bind_port(PORT, handler_keeps);
    udp_send(NULL, 1234, OWN_ADDRESS, PORT, payload_of(100, 0x77));
    expect_counted(NET_SENT_UDP, NET_RECEIVED_IPV4, NET_RECEIVED_UDP, -1);
    assert_int_equal(got.calls, 1);
    assert_int_equal(got.source, OWN_ADDRESS);
    assert_int_equal(got.length, 100);
    assert_int_equal(net_fake_sent_count, 0);
    udp_unbind(PORT);
    net_end();
}

static sem_t handler_is_in, handler_may_end;
static bool handler_has_ended;
static unsigned looks;

static void handler_takes_its_time(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    sem_post(&handler_is_in);
    sem_wait(&handler_may_end);
    packet_free(datagram->packet);
    __atomic_store_n(&handler_has_ended, true, __ATOMIC_RELEASE);
}

static void *other_cpu(void *frame)
{
    net_fake_cpu = 3;
    receive(frame);
    return NULL;
}

static void let_handler_end(void)
{
    if (++looks == 3) {
        assert_int_equal(udp_bind(PORT, handler_keeps, NULL), PORT); /* in another slot */
        sem_post(&handler_may_end);
    }
}

static void unbind_waits_for_the_handler(void **state)
{
    struct frame frame;
    pthread_t thread;

    (void)state;
    net_begin();
    sem_init(&handler_is_in, 0, 0);
    sem_init(&handler_may_end, 0, 0);
    looks = 0;
    handler_has_ended = false;
    bind_port(PORT, handler_takes_its_time);
    frame_udp(&frame, 4000, PORT, 100);
    pthread_create(&thread, NULL, other_cpu, &frame);
    sem_wait(&handler_is_in);
    net_fake_on_wait = let_handler_end;
    udp_unbind(PORT);
    assert_true(__atomic_load_n(&handler_has_ended, __ATOMIC_ACQUIRE));
    assert_true(looks >= 3);
    pthread_join(thread, NULL);
    net_fake_on_wait = NULL;
    udp_unbind(PORT);
    net_counters_take();
    net_end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(datagrams_reach_the_handler_of_their_port),
    cmocka_unit_test(lengths_that_lie_are_dropped),
    cmocka_unit_test(wrong_checksums_are_dropped),
    cmocka_unit_test(ports_are_bound_once_and_freed),
    cmocka_unit_test(chosen_ports_go_round),
    cmocka_unit_test(echo_returns_every_byte_of_every_size),
    cmocka_unit_test(echo_of_less_than_the_packet_holds_is_right),
    cmocka_unit_test(changed_answers_get_a_new_checksum),
    cmocka_unit_test(datagrams_are_sent_with_right_headers),
    cmocka_unit_test(checksum_of_zero_is_sent_as_its_other_form),
    cmocka_unit_test(datagrams_to_ourselves_need_no_wire),
    cmocka_unit_test(unbind_waits_for_the_handler),
};

HOST_TEST_MAIN(tests, NULL)
