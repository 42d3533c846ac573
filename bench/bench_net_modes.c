// SPDX-License-Identifier: MIT
/* The modes of `bench net`: drop by a program, sink in a socket that a thread reads, echo
 * from the poll thread. Invariant: between begin() and end() each frame for the mode is counted
 * once. Called by: bench_net.c. */
#include "bench/bench_net.h"

#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/net_command.h"
#include "kernel/thread.h"
#include "net/counters.h"
#include "net/program.h"
#include "net/udp.h"
#include "net/udp_socket.h"

#define SINK_DEPTH   1024
#define SINK_BATCH   64
#define SINK_LOOK_NS 100000000ull

/* All frames, ARP's too. With a full dispatcher the program runs through the fallback. */
static bool drop_begin(const struct bench_net_request *request)
{
    struct patch_error error = {0};
    enum net_program_status status;

    if (net_command_has_program("bench net", request->device)) {
        return false;
    }
    status = net_program_attach(request->device, NET_PROGRAM_ALL_QUEUES, net_program_find("drop"),
                                &error);
    if (status == NET_PROGRAM_PATCH) {
        console_print("bench net: program drop: %s\n", patch_status_text(error.status));
    }
    return status == NET_PROGRAM_OK || status == NET_PROGRAM_FULL;
}

static void drop_end(const struct bench_net_request *request)
{
    net_program_detach_all(request->device);
}

static uint64_t drop_packets(void)
{
    return net_counter_read(NET_DROP_PROGRAM);
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
