// SPDX-License-Identifier: MIT
/* Sockets between CPUs: a sender and a reader that sleeps between datagrams, which the machine
 * sends to itself. Whether bytes and counters are right is for suite_net_path.c. */
#include "arch/clock.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/net_config.h"
#include "net/udp.h"
#include "net/udp_socket.h"
#include "tests/kernel/fake_nic.h"
#include "tests/kernel/test.h"

#define OUR_ADDRESS 0xc0000211u /* 192.0.2.17: examples only (RFC 5737) */
#define OUR_MASK    0xffffff00u
#define SOCKET_PORT 9100
#define DEPTH       16
#define DATAGRAMS   4000
#define BURST       8
#define SECOND      1000000000ull

static struct traffic {
    struct net_device *device;
    struct udp_socket *socket;
    uint32_t read; /* atomic: by the reader */
    bool stop;     /* atomic: the reader has given up */
    uint32_t not_sent;
} traffic;

static uint32_t datagrams_read(void)
{
    return __atomic_load_n(&traffic.read, __ATOMIC_ACQUIRE);
}

/* Waits until at most @behind of @sent datagrams are unread. Returns false when the reader stops.
 */
static bool wait_for_reader(uint32_t sent, uint32_t behind)
{
    while (sent - datagrams_read() > behind) {
        if (__atomic_load_n(&traffic.stop, __ATOMIC_ACQUIRE)) {
            return false;
        }
        thread_yield(); /* on one CPU the reader needs it */
        cpu_relax();
    }
    return true;
}

static bool send_number(uint32_t number)
{
    struct packet *packet = packet_allocate(traffic.device->pool);

    if (packet == NULL) {
        return false;
    }
    memcpy(packet_append(packet, sizeof(number)), &number, sizeof(number));
    udp_send(traffic.device, SOCKET_PORT, OUR_ADDRESS, SOCKET_PORT, packet);
    return true;
}

/* One by one, each when the reader has emptied the socket and is about to sleep; every second
 * time a burst, whose first datagram alone may wake. */
static void send_all(void *argument)
{
    uint32_t sent = 0;

    (void)argument;
    while (sent < DATAGRAMS && wait_for_reader(sent, 0)) {
        uint32_t count = sent % (BURST + 1) == 0 ? 1 : BURST;

        for (; count > 0 && sent < DATAGRAMS; count--) {
            traffic.not_sent += send_number(sent++) ? 0 : 1;
        }
    }
}

/* Returns how many datagrams came as they should: one that is missing, or wakes nobody, ends it. */
static uint32_t read_all(void)
{
    uint32_t number = UINT32_MAX;

    while (datagrams_read() < DATAGRAMS) {
        struct udp_sender sender = {0};
        uint64_t deadline = clock_now_ns() + 20 * SECOND;
        struct packet *packet = udp_socket_receive(traffic.socket, deadline, &sender);
        bool is_late = clock_now_ns() >= deadline; /* the deadline woke, not the datagram */

        if (packet == NULL) {
            break;
        }
        memcpy(&number, packet->data, sizeof(number));
        packet_free(packet);
        if (is_late || number != datagrams_read() || sender.address != OUR_ADDRESS ||
            sender.port != SOCKET_PORT) {
            break;
        }
        __atomic_fetch_add(&traffic.read, 1, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&traffic.stop, true, __ATOMIC_RELEASE);
    return datagrams_read();
}

static unsigned other_cpu(void)
{
    unsigned other = cpu_index();

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        other = cpu_index_is_online(cpu) && cpu != cpu_index() ? cpu : other;
    }
    return other;
}

static bool traffic_open(struct fake_nic *nic)
{
    traffic = (struct traffic){.device = &nic->device};
    if (!net_config_set_address(&nic->device, OUR_ADDRESS, OUR_MASK, NET_CONFIG_STATIC)) {
        return false;
    }
    traffic.socket = udp_socket_open(SOCKET_PORT, DEPTH, false);
    return traffic.socket != NULL;
}

static void traffic_close(struct test *test, struct fake_nic *nic)
{
    if (traffic.socket != NULL) {
        udp_socket_close(traffic.socket);
    }
    EXPECT(test, net_config_set_address(&nic->device, 0, 0, NET_CONFIG_NONE));
    fake_nic_remove(test, nic);
}

/* The sender sends when the reader has taken everything, which is just when it goes to sleep: a
 * wake-up lost between its last look and its sleep leaves it asleep until the deadline, and that
 * ends the test with less than all. */
static void every_datagram_wakes_its_reader(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    if (EXPECT(test, traffic_open(nic))) {
        struct thread *sender = thread_create("sender", other_cpu(), send_all, NULL);

        if (EXPECT(test, sender != NULL)) {
            EXPECT_EQUAL(test, read_all(), DATAGRAMS);
            thread_join(sender);
            EXPECT_EQUAL(test, traffic.not_sent, 0);
            EXPECT_EQUAL(test, udp_socket_dropped(traffic.socket), 0);
        }
    }
    traffic_close(test, nic);
}

static void empty_socket_is_waited_for_until_the_deadline(struct test *test)
{
    struct fake_nic *nic = fake_nic_add(&(struct fake_nic_options){.queues = 1});

    if (!EXPECT(test, nic != NULL)) {
        return;
    }
    if (EXPECT(test, traffic_open(nic))) {
        uint64_t deadline = clock_now_ns() + SECOND / 200;

        EXPECT(test, udp_socket_receive(traffic.socket, deadline, NULL) == NULL);
        EXPECT(test, clock_now_ns() >= deadline);
        EXPECT(test, send_number(7));
        /* The deadline is over, but a datagram is there. */
        struct packet *packet = udp_socket_receive(traffic.socket, deadline, NULL);

        if (EXPECT(test, packet != NULL)) {
            packet_free(packet);
        }
    }
    traffic_close(test, nic);
}

static const struct test_case cases[] = {
    TEST_CASE(every_datagram_wakes_its_reader),
    TEST_CASE(empty_socket_is_waited_for_until_the_deadline),
};

const struct test_suite suite_net_socket = TEST_SUITE("net_socket", cases);
