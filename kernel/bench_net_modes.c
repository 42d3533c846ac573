// SPDX-License-Identifier: MIT
/* The modes of `bench net`: drop at the receive hook, sink in a socket that a thread reads, echo
 * from the poll thread. Invariant: between begin() and end() each frame for the mode is counted
 * once. Called by: bench_net.c. */
#include "kernel/bench_net.h"

#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "net/udp.h"
#include "net/udp_socket.h"

#define SINK_DEPTH   1024
#define SINK_BATCH   64
#define SINK_LOOK_NS 100000000ull

/* Only this file's frames: what else a device gets (ARP, say) goes on. */
static net_receive_hook *hook_before;

static unsigned hook_drop(struct packet *packet)
{
    (void)packet;
    return NET_ACTION_DROP;
}

static bool drop_begin(const struct bench_net_request *request)
{
    hook_before = request->device->hook;
    net_device_set_hook(request->device, hook_drop);
    return true;
}

static void drop_end(const struct bench_net_request *request)
{
    net_device_set_hook(request->device, hook_before);
}

static uint64_t drop_packets(void)
{
    return net_counter_read(NET_DROP_HOOK);
}

static struct sink {
    struct udp_socket *socket;
    struct thread *reader;
    bool stop;        /* atomic */
    uint64_t packets; /* atomic; by the reader */
    uint64_t last_ns; /* atomic; by the reader: when it was done with the newest */
} sink;

static void sink_read(void *argument)
{
    struct packet *packets[SINK_BATCH];

    (void)argument;
    while (!__atomic_load_n(&sink.stop, __ATOMIC_RELAXED)) {
        unsigned count = udp_socket_receive_many(sink.socket, clock_now_ns() + SINK_LOOK_NS,
                                                 packets, SINK_BATCH);

        packet_free_many(packets, count);
        __atomic_store_n(&sink.last_ns, clock_now_ns(), __ATOMIC_RELAXED);
        /* Release: pairs with the acquire in sink_packets(), so that last_ns is theirs. */
        __atomic_fetch_add(&sink.packets, count, __ATOMIC_RELEASE);
    }
}

static bool sink_begin(const struct bench_net_request *request)
{
    sink = (struct sink){.socket = udp_socket_open(request->port, SINK_DEPTH, false)};
    if (sink.socket == NULL) {
        console_print("bench net: port %u is taken, or memory is short\n", request->port);
        return false;
    }
    sink.reader = thread_create("bench sink", request->reader_cpu, sink_read, NULL);
    if (sink.reader == NULL) {
        console_print("bench net: no memory for a thread\n");
        udp_socket_close(sink.socket);
        return false;
    }
    return true;
}

static void sink_end(const struct bench_net_request *request)
{
    (void)request;
    __atomic_store_n(&sink.stop, true, __ATOMIC_RELAXED);
    thread_join(sink.reader);
    udp_socket_close(sink.socket);
}

static uint64_t sink_packets(void)
{
    return __atomic_load_n(&sink.packets, __ATOMIC_ACQUIRE);
}

static uint64_t sink_finished_ns(void)
{
    return __atomic_load_n(&sink.last_ns, __ATOMIC_RELAXED);
}

static void echo_answer(void *argument, const struct udp_datagram *datagram)
{
    (void)argument;
    udp_send_back(datagram, false);
}

static bool echo_begin(const struct bench_net_request *request)
{
    if (udp_bind(request->port, echo_answer, NULL) == 0) {
        console_print("bench net: port %u is taken, or no more can be bound\n", request->port);
        return false;
    }
    return true;
}

static void echo_end(const struct bench_net_request *request)
{
    udp_unbind(request->port);
}

/* What went into the transmit ring, so what the other side can count. */
static uint64_t echo_packets(void)
{
    return net_counter_read(NET_SENT_UDP);
}

const struct bench_net_mode bench_net_modes[BENCH_NET_MODES] = {
    {"drop", drop_begin, drop_end, drop_packets, NULL, NULL},
    {"sink", sink_begin, sink_end, sink_packets, sink_packets, sink_finished_ns},
    {"echo", echo_begin, echo_end, echo_packets, NULL, NULL},
};
