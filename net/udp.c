// SPDX-License-Identifier: MIT
/* UDP; see udp.h. Invariant: a handler is called only between user_enter() and user_leave() of its
 * slot, and a slot is used again only when nobody is between the two.
 *
 *     who receives                            udp_unbind()
 *     finds the port in slot i
 *     users[this CPU][i]++   (full order)     ports[i] = 0           (full order)
 *     ports[i] is still the port?             waits until no users[*][i] is left
 *     handler
 *     users[this CPU][i]--   (release)        frees the slot
 *
 * Either the receiver sees the port gone, or udp_unbind() sees the receiver. Called by ipv4.c, and
 * by services and sockets. */
#include "net/udp.h"

#include "arch/clock.h"
#include "arch/percpu.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "net/icmp.h"
#include "net/ipv4_header.h"
#include "net/wire.h"

#define FIRST_FREE_PORT 49152 /* IANA: dynamic ports */
#define LOOK_AGAIN_NS   100000ull
#define REPORT_WAIT_NS  2000000000ull

enum { UDP_SOURCE = 0, UDP_DESTINATION = 2, UDP_LENGTH = 4, UDP_CHECKSUM = 6 };

DEFINE_DYNAMIC_CALL(udp_deliver, udp_handler, 2);

static struct spinlock slots_lock = SPINLOCK("udp ports");
static uint16_t ports[UDP_PORT_MAX]; /* atomic, written under slots_lock; 0: nobody's */
static struct {
    bool is_taken; /* under slots_lock */
    /* written under slots_lock before the port is: */
    udp_handler *handler;
    void *argument;
} slots[UDP_PORT_MAX];

/* Of each CPU those of its threads that are in the handler of a slot. A thread stays on its CPU. */
static struct {
    uint32_t count[UDP_PORT_MAX];
} __attribute__((aligned(64))) users[CPU_MAX];

/* Returns the slot of @port, or UDP_PORT_MAX. Acquire: pairs with the release in slot_fill(),
 * without which the handler could be the one before. */
static unsigned slot_find(uint16_t port)
{
    unsigned slot = 0;

    while (slot < UDP_PORT_MAX && __atomic_load_n(&ports[slot], __ATOMIC_ACQUIRE) != port) {
        slot++;
    }
    return port != 0 ? slot : UDP_PORT_MAX;
}

/* Returns false if the port was closed meanwhile. Full order: pairs with the store and the loads in
 * udp_unbind(); without it both could miss each other. */
static bool user_enter(uint32_t *user, unsigned slot, uint16_t port)
{
    __atomic_fetch_add(user, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&ports[slot], __ATOMIC_SEQ_CST) == port) {
        return true;
    }
    __atomic_fetch_sub(user, 1, __ATOMIC_RELAXED);
    return false;
}

/* Release: pairs with the acquire in has_users(); what the handler did is done then. */
static void user_leave(uint32_t *user)
{
    __atomic_fetch_sub(user, 1, __ATOMIC_RELEASE);
}

/* Why the datagram cannot be used, or NET_COUNTER_COUNT. */
static enum net_counter form_obstacle(const struct packet *packet,
                                      const struct ipv4_receipt *receipt)
{
    const uint8_t *udp = packet->data;
    uint32_t length, sum;

    if (packet->length < UDP_HEADER_BYTES) {
        return NET_DROP_UDP_SHORT;
    }
    length = wire_get16(udp + UDP_LENGTH);
    if (length < UDP_HEADER_BYTES || length > packet->length) {
        return NET_DROP_UDP_LENGTH;
    }
    if (wire_get16(udp + UDP_CHECKSUM) == 0) {
        return NET_COUNTER_COUNT; /* its sender made none */
    }
    sum = ipv4_pseudo_header_sum(receipt->source, receipt->destination, IPV4_PROTOCOL_UDP, length);
    return checksum_finish(checksum_add(sum, udp, length)) != 0 ? NET_DROP_UDP_CHECKSUM
                                                                : NET_COUNTER_COUNT;
}

/* Gives the datagram to the handler of its port. Returns false if there is none. */
static bool deliver(struct packet *packet, const struct ipv4_receipt *receipt)
{
    const uint8_t *udp = packet->data;
    struct udp_datagram datagram = {
        .packet = packet,
        .receipt = receipt,
        .source_port = wire_get16(udp + UDP_SOURCE),
        .destination_port = wire_get16(udp + UDP_DESTINATION),
    };
    unsigned slot = slot_find(datagram.destination_port);
    uint32_t *user;

    if (slot == UDP_PORT_MAX) {
        return false;
    }
    user = &users[cpu_index()].count[slot];
    if (!user_enter(user, slot, datagram.destination_port)) {
        return false;
    }
    packet->length = wire_get16(udp + UDP_LENGTH);
    packet_pull(packet, UDP_HEADER_BYTES);
    dynamic_call(udp_deliver, slots[slot].handler, slots[slot].argument, &datagram);
    user_leave(user);
    return true;
}

void udp_receive(struct packet *packet, const struct ipv4_receipt *receipt)
{
    enum net_counter obstacle;

    net_count(NET_RECEIVED_UDP);
    obstacle = form_obstacle(packet, receipt);
    if (obstacle != NET_COUNTER_COUNT) {
        net_drop(packet, obstacle);
    } else if (!deliver(packet, receipt)) {
        net_count(NET_DROP_UDP_PORT);
        icmp_send_port_unreachable(packet, receipt);
    }
}

/* Returns a port that nobody has, each time another. */
static uint16_t port_choose_locked(void)
{
    static uint16_t next = FIRST_FREE_PORT;
    uint16_t port;

    do {
        port = next;
        next = next == UINT16_MAX ? FIRST_FREE_PORT : (uint16_t)(next + 1);
    } while (slot_find(port) != UDP_PORT_MAX); /* UDP_PORT_MAX are taken at most */
    return port;
}

/* Release: pairs with the acquire in slot_find(). */
static void slot_fill(unsigned slot, uint16_t port, udp_handler *handler, void *argument)
{
    slots[slot].is_taken = true;
    slots[slot].handler = handler;
    slots[slot].argument = argument;
    __atomic_store_n(&ports[slot], port, __ATOMIC_RELEASE);
}

uint16_t udp_bind(uint16_t port, udp_handler *handler, void *argument)
{
    uint64_t flags = spinlock_lock_save(&slots_lock);
    unsigned slot = 0;

    while (slot < UDP_PORT_MAX && slots[slot].is_taken) {
        slot++;
    }
    if (slot == UDP_PORT_MAX || slot_find(port) != UDP_PORT_MAX) {
        port = 0;
    } else {
        port = port != 0 ? port : port_choose_locked();
        slot_fill(slot, port, handler, argument);
    }
    spinlock_unlock_restore(&slots_lock, flags);
    return port;
}

udp_handler *udp_handler_of(uint16_t port)
{
    unsigned slot = slot_find(port);

    return slot != UDP_PORT_MAX ? slots[slot].handler : NULL;
}

/* Acquire: pairs with the release in user_leave(). */
static bool has_users(unsigned slot)
{
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        if (__atomic_load_n(&users[cpu].count[slot], __ATOMIC_SEQ_CST) != 0) {
            return true;
        }
    }
    return false;
}

/* Takes the port out of the table. Returns its slot, which is not free yet, or UDP_PORT_MAX. */
static unsigned port_close(uint16_t port)
{
    uint64_t flags = spinlock_lock_save(&slots_lock);
    unsigned slot = slot_find(port);

    if (slot != UDP_PORT_MAX) {
        __atomic_store_n(&ports[slot], 0, __ATOMIC_SEQ_CST); /* partner: user_enter() */
    }
    spinlock_unlock_restore(&slots_lock, flags);
    return slot;
}

static void slot_free(unsigned slot)
{
    uint64_t flags = spinlock_lock_save(&slots_lock);

    slots[slot].is_taken = false;
    spinlock_unlock_restore(&slots_lock, flags);
}

/* The wait ends: nobody enters any more, and handlers do not wait. */
void udp_unbind(uint16_t port)
{
    unsigned slot = port_close(port);
    uint64_t report_ns = clock_now_ns() + REPORT_WAIT_NS;

    if (slot == UDP_PORT_MAX) {
        return;
    }
    while (has_users(slot)) {
        if (clock_now_ns() >= report_ns) {
            log_warning("udp: the handler of port %u does not return", port);
            report_ns = UINT64_MAX;
        }
        thread_sleep_ns(LOOK_AGAIN_NS);
    }
    slot_free(slot);
}

/* The checksum of a whole datagram; 0 says that there is none, so 0 is sent as 0xffff. */
static void checksum_put(struct packet *packet, uint32_t source, uint32_t destination)
{
    uint32_t sum = ipv4_pseudo_header_sum(source, destination, IPV4_PROTOCOL_UDP, packet->length);
    uint16_t checksum;

    wire_put16(packet->data + UDP_CHECKSUM, 0);
    checksum = checksum_finish(checksum_add(sum, packet->data, packet->length));
    wire_put16(packet->data + UDP_CHECKSUM, checksum != 0 ? checksum : UINT16_MAX);
}

/* Puts the header in front, whose checksum is left as it is. */
static void header_put(struct packet *packet, uint16_t source_port, uint16_t destination_port)
{
    uint8_t *udp = packet_prepend(packet, UDP_HEADER_BYTES);

    wire_put16(udp + UDP_SOURCE, source_port);
    wire_put16(udp + UDP_DESTINATION, destination_port);
    wire_put16(udp + UDP_LENGTH, (uint16_t)packet->length);
}

void udp_send(struct net_device *device, uint16_t source_port, uint32_t destination,
              uint16_t destination_port, struct packet *packet)
{
    uint32_t next_hop;

    if (device == NULL) {
        device = ipv4_route(destination, &next_hop);
    }
    if (device == NULL) {
        net_drop(packet, NET_DROP_NO_ROUTE);
    } else if (packet->length > UDP_PAYLOAD_MAX) {
        net_drop(packet, NET_DROP_FRAME_LONG);
    } else {
        uint32_t source = ipv4_address_of(device);

        header_put(packet, source_port, destination_port);
        checksum_put(packet, source, destination);
        ipv4_send(device, source, destination, IPV4_PROTOCOL_UDP, packet);
    }
}

/* Exchanging addresses and ports leaves the checksum as it is. */
bool udp_send_back(const struct udp_datagram *datagram, bool changed)
{
    struct packet *packet = datagram->packet;

    if (packet->length > UDP_PAYLOAD_MAX) {
        net_drop(packet, NET_DROP_FRAME_LONG);
        return false;
    }
    header_put(packet, datagram->destination_port, datagram->source_port);
    if (changed) {
        checksum_put(packet, datagram->receipt->destination, datagram->receipt->source);
    }
    return ipv4_send_back(packet, datagram->receipt, IPV4_PROTOCOL_UDP);
}
