// SPDX-License-Identifier: MIT
/* Tests of the built-in program `count`: frames of each protocol, to ports that come often and
 * seldom, cut and malformed, and what is then said of them. Would miss: a reader that looks in the
 * middle of a frame. */
#include "net/program.h"

#include <string.h>

#include "tests/host/net_frames.h"

static void begin(void)
{
    net_begin();
    assert_int_equal(
        net_program_attach(nic, NET_PROGRAM_ALL_QUEUES, net_program_find("count"), NULL),
        NET_PROGRAM_OK);
}

static void end(void)
{
    net_counters_take();
    assert_int_equal(net_program_detach(nic, NET_PROGRAM_ALL_QUEUES, NULL), NET_PROGRAM_OK);
    net_end();
}

static uint64_t counted(unsigned kind)
{
    const struct net_program_data *data = net_program_find("count")->xdp.instructions;

    return data->slots[nic->index * NET_QUEUE_MAX + 1].counts[kind];
}

static void count_tells_protocols_apart(void **state)
{
    static const uint16_t types[] = {0x0806, 0x0800, 0x0800, 0x0800, 0x0800, 0x86dd, 0x1234};
    static const uint8_t protocols[] = {0, 1, 17, 6, 99, 0, 0};
    struct frame frame;

    (void)state;
    begin();
    for (unsigned kind = 0; kind < ARRAY_COUNT(types); kind++) {
        uint64_t before = counted(kind);

        frame_ipv4(&frame, protocols[kind], PEER_ADDRESS, OWN_ADDRESS, NULL, 0, 30);
        put16(frame.bytes + 12, types[kind]);
        receive(&frame);
        assert_int_equal(counted(kind), before + 1);
    }
    for (frame.length = 0; frame.length < 34; frame.length++) {
        uint64_t before = counted(6); /* what is cut is of no kind */

        receive(&frame);
        assert_int_equal(counted(6), before + 1);
    }
    end();
}

static uint64_t count_frames(const char *protocol, uint32_t port)
{
    struct net_program_count_row rows[NET_PROGRAM_COUNT_ROWS];
    unsigned count = net_program_counts(nic, 1, rows);

    assert_true(count <= NET_PROGRAM_COUNT_ROWS);
    for (unsigned i = 0; i < count; i++) {
        if (strcmp(rows[i].protocol, protocol) == 0 && rows[i].port == port) {
            return rows[i].frames;
        }
    }
    return 0;
}

static uint64_t count_all(const char *protocol)
{
    struct net_program_count_row rows[NET_PROGRAM_COUNT_ROWS];
    unsigned count = net_program_counts(nic, 1, rows);
    uint64_t sum = 0;

    for (unsigned i = 0; i < count; i++) {
        sum += strcmp(rows[i].protocol, protocol) == 0 ? rows[i].frames : 0;
    }
    return sum;
}

static void receive_udp(uint16_t port, unsigned times)
{
    struct frame frame;

    frame_udp(&frame, 1111, port, 4);
    while (times-- > 0) {
        receive(&frame);
    }
}

static void count_tells_ports_apart(void **state)
{
    uint64_t udp, tcp;
    struct frame frame;

    (void)state;
    begin();
    udp = count_all("udp");
    tcp = count_all("tcp");
    receive_udp(0, 2);
    receive_udp(65535, 3);
    frame_udp(&frame, 1111, 65535, 4);
    frame.bytes[23] = 6;
    receive(&frame);
    assert_int_equal(count_frames("udp", 0), 2);
    assert_int_equal(count_frames("udp", 65535), 3);
    assert_int_equal(count_frames("tcp", 65535), 1);
    /* Behind options, too. */
    frame_ipv4(&frame, 17, PEER_ADDRESS, OWN_ADDRESS, (const uint8_t[8]){1, 1, 1, 1, 1, 1, 1, 1}, 8,
               8);
    put16(frame.bytes + AT_UDP + 8 + 2, 4711);
    receive(&frame);
    assert_int_equal(count_frames("udp", 4711), 1);
    assert_int_equal(count_all("udp"), udp + 6);
    assert_int_equal(count_all("tcp"), tcp + 1);
    assert_int_equal(net_program_counts(nic, 2, NULL), 0);
    end();
}

/* A scan of all ports pushes out what was met seldom, not what was met often; sums stay. */
static void ports_met_often_stay_listed(void **state)
{
    uint64_t udp, often;

    (void)state;
    begin();
    udp = count_all("udp");
    often = count_frames("udp", 53);
    receive_udp(53, 20);
    for (uint16_t port = 2000; port < 2100; port++) {
        receive_udp(port, 1);
    }
    assert_int_equal(count_frames("udp", 53), often + 20);
    assert_int_equal(count_frames("udp", 2000), 0);
    for (unsigned i = 0; i < 5; i++) { /* new ones in turn do not push out each other */
        receive_udp(3000, 1);
        receive_udp(3001, 1);
    }
    assert_int_equal(count_frames("udp", 3000), 5);
    assert_int_equal(count_frames("udp", 3001), 5);
    assert_true(count_frames("udp", NET_PROGRAM_NO_PORT) >= 84);
    assert_int_equal(count_all("udp"), udp + 130);
    end();
}

/* Cut, lengths that lie, later fragments: counted by protocol, to no port. The bytes behind a frame
 * are 0xaa, so what reads beyond counts port 0xaaaa. */
static void frames_without_a_port_have_none(void **state)
{
    static const struct {
        unsigned at;
        uint16_t value;
        uint32_t length;
    } changes[] = {
        {14, 0x4500, 34}, {14, 0x4500, 37}, {14, 0x4f00, 77}, {14, 0x4f00, 60}, {14, 0x4400, 60},
        {14, 0x4000, 60}, {16, 0, 60},      {16, 23, 60},     {20, 1, 60},      {20, 0x3fff, 60},
    };
    struct frame frame;

    (void)state;
    begin();
    for (unsigned i = 0; i < ARRAY_COUNT(changes); i++) {
        uint64_t before = count_frames("udp", NET_PROGRAM_NO_PORT), all = count_all("udp");

        frame_udp(&frame, 1111, 0xaaaa, 100);
        put16(frame.bytes + changes[i].at, changes[i].value);
        frame.length = changes[i].length;
        receive(&frame);
        assert_int_equal(count_frames("udp", NET_PROGRAM_NO_PORT), before + 1);
        assert_int_equal(count_all("udp"), all + 1);
    }
    assert_int_equal(count_frames("udp", 0xaaaa), 0);
    end();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(count_tells_protocols_apart),
    cmocka_unit_test(count_tells_ports_apart),
    cmocka_unit_test(ports_met_often_stay_listed),
    cmocka_unit_test(frames_without_a_port_have_none),
};

HOST_TEST_MAIN(tests, NULL)
