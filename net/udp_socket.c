// SPDX-License-Identifier: MIT
/* Ports that a thread reads; see udp_socket.h. Invariant: a packet that the handler is given is in
 * the queue, or dropped and counted; and a reader that waits is woken by the first packet that
 * comes:
 *
 *     reader, under wait.lock                   handler, in a poll thread
 *     lock; empty: is_waiting = true; unlock
 *     joins the wait queue, BLOCKED             lock; append; is_waiting? false, and wake; unlock
 *     unlocks wait.lock                         wake: takes wait.lock, finds the reader in the
 * queue
 *
 * The flag costs a batch one wake-up, not one a packet: the packets behind the first find it false
 * until the reader has emptied the queue and waits again. Called by shell commands and DHCP. */
#include "net/udp_socket.h"

#include "kernel/heap.h"
#include "kernel/log.h"
#include "kernel/string.h"
#include "kernel/wait_queue.h"
#include "net/counters.h"
#include "net/receive.h"
#include "net/udp.h"

struct udp_socket {
    /* written once: */
    uint16_t port;
    bool stamps;
    uint32_t depth;

    struct wait_queue wait;
    struct spinlock lock; /* inside wait.lock; interrupts off */
    /* under lock: */
    struct packet *first, *last;
    uint32_t length;
    bool is_waiting; /* the reader wants to be woken */
    uint64_t dropped;
};

/* The sender takes the place of the UDP header, which is in the headroom and read. */
_Static_assert(sizeof(struct udp_sender) <= UDP_HEADER_BYTES, "room in front of the payload");

static void sender_put(const struct udp_datagram *datagram)
{
    struct udp_sender sender = {
        .address = datagram->receipt->source,
        .port = datagram->source_port,
    };

    memcpy(datagram->packet->data - sizeof(sender), &sender, sizeof(sender));
}

static void sender_get(const struct packet *packet, struct udp_sender *sender)
{
    memcpy(sender, packet->data - sizeof(*sender), sizeof(*sender));
}

/* Returns false if the queue is full. */
static bool append_locked(struct udp_socket *socket, struct packet *packet)
{
    if (socket->length == socket->depth) {
        socket->dropped++;
        return false;
    }
    packet->next = NULL;
    if (socket->last == NULL) {
        socket->first = packet;
    } else {
        socket->last->next = packet;
    }
    socket->last = packet;
    socket->length++;
    return true;
}

static void socket_deliver(void *argument, const struct udp_datagram *datagram)
{
    struct udp_socket *socket = argument;
    struct packet *packet = datagram->packet;
    bool is_queued, wake;
    uint64_t flags;

    packet_stamp(packet);
    sender_put(datagram);
    flags = spinlock_lock_save(&socket->lock);
    is_queued = append_locked(socket, packet);
    wake = is_queued && socket->is_waiting;
    socket->is_waiting = socket->is_waiting && !wake;
    spinlock_unlock_restore(&socket->lock, flags);
    if (!is_queued) {
        net_drop(packet, NET_DROP_SOCKET_FULL);
    }
    if (wake) {
        wait_queue_wake_one(&socket->wait);
    }
}

static bool key_hold(bool stamps)
{
    enum patch_status status = stamps ? static_key_increment(&netstamp_needed) : PATCH_OK;

    if (status != PATCH_OK) {
        log_warning("socket: key %s: %s", netstamp_needed.name, patch_status_text(status));
    }
    return status == PATCH_OK;
}

static void key_release(bool stamps)
{
    enum patch_status status = stamps ? static_key_decrement(&netstamp_needed) : PATCH_OK;

    if (status != PATCH_OK) {
        log_warning("socket: key %s stays on: %s", netstamp_needed.name, patch_status_text(status));
    }
}

struct udp_socket *udp_socket_open(uint16_t port, unsigned depth, bool stamps)
{
    struct udp_socket *socket = heap_allocate(sizeof(*socket));

    if (socket == NULL) {
        return NULL;
    }
    *socket = (struct udp_socket){
        .stamps = stamps,
        .depth = depth,
        .wait = WAIT_QUEUE("socket reader"),
        .lock = SPINLOCK("socket"),
    };
    if (!key_hold(stamps)) {
        heap_free(socket);
        return NULL;
    }
    socket->port = udp_bind(port, socket_deliver, socket);
    if (socket->port == 0) {
        key_release(stamps);
        heap_free(socket);
        return NULL;
    }
    return socket;
}

static bool is_ready(void *argument)
{
    struct udp_socket *socket = argument;
    bool ready;

    spinlock_lock(&socket->lock); /* interrupts are off: wait.lock is held */
    ready = socket->length != 0;
    socket->is_waiting = !ready;
    spinlock_unlock(&socket->lock);
    return ready;
}

static unsigned take(struct udp_socket *socket, struct packet **packets, unsigned count)
{
    uint64_t flags = spinlock_lock_save(&socket->lock);
    unsigned taken = 0;

    while (taken < count && socket->first != NULL) {
        packets[taken++] = socket->first;
        socket->first = socket->first->next;
    }
    if (socket->first == NULL) {
        socket->last = NULL;
    }
    socket->length -= taken;
    spinlock_unlock_restore(&socket->lock, flags);
    return taken;
}

unsigned udp_socket_receive_many(struct udp_socket *socket, uint64_t deadline_ns,
                                 struct packet **packets, unsigned count)
{
    unsigned taken = take(socket, packets, count);

    if (taken == 0 &&
        wait_queue_wait_until_deadline(&socket->wait, is_ready, socket, deadline_ns)) {
        taken = take(socket, packets, count);
    }
    return taken;
}

struct packet *udp_socket_receive(struct udp_socket *socket, uint64_t deadline_ns,
                                  struct udp_sender *sender)
{
    struct packet *packet;

    if (udp_socket_receive_many(socket, deadline_ns, &packet, 1) == 0) {
        return NULL;
    }
    if (sender != NULL) {
        sender_get(packet, sender);
    }
    return packet;
}

void udp_socket_close(struct udp_socket *socket)
{
    struct packet *packet;

    udp_unbind(socket->port); /* behind this no CPU is in socket_deliver() */
    while (take(socket, &packet, 1) != 0) {
        packet_free(packet);
    }
    key_release(socket->stamps);
    heap_free(socket);
}

uint16_t udp_socket_port(const struct udp_socket *socket)
{
    return socket->port;
}

uint64_t udp_socket_dropped(const struct udp_socket *socket)
{
    return __atomic_load_n(&socket->dropped, __ATOMIC_RELAXED);
}
