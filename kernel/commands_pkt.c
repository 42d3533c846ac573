// SPDX-License-Identifier: MIT
/* The shell command pkt: takes, echoes, sends and counts packets for a while, and says how many a
 * second. Invariant: when a verb returns, its port is closed, its program is gone and its packets
 * are back. sink and echo are here, flood and count in files of their own. */
#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/heap.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/pkt.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/udp.h"
#include "net/udp_socket.h"
#include "patching/histogram.h"

#define LOOK_NS           50000000ull /* between two looks for Ctrl-C */
#define LINE_NS           1000000000ull
#define SINK_BATCH        64
#define SINK_DEPTH        512
#define PORT_UNLESS_GIVEN 9000
#define SECONDS_UNLESS    10

void pkt_run_begin(struct pkt_run *run, uint64_t seconds)
{
    run->began_ns = run->last_ns = clock_now_ns();
    run->end_ns = run->began_ns + seconds * 1000000000;
    run->line_ns = run->began_ns + LINE_NS;
}

bool pkt_run_goes_on(const struct pkt_run *run)
{
    return clock_now_ns() < run->end_ns && !shell_interrupted(run->session);
}

uint64_t pkt_run_look_ns(const struct pkt_run *run)
{
    uint64_t soon_ns = clock_now_ns() + LOOK_NS;

    return soon_ns < run->end_ns ? soon_ns : run->end_ns;
}

void pkt_run_nap(const struct pkt_run *run)
{
    thread_sleep_until_ns(pkt_run_look_ns(run));
}

void pkt_run_show(struct pkt_run *run, uint64_t count, uint64_t bytes, const char *name,
                  uint64_t trouble)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t elapsed_ns = now_ns - run->last_ns;

    if (run->json || now_ns < run->line_ns) {
        return;
    }
    console_print("%4llu s  %8llu packets/s  %10llu bytes/s  %s %llu\n",
                  (unsigned long long)((now_ns - run->began_ns) / 1000000000),
                  (unsigned long long)rate_per_second(count - run->last_count, elapsed_ns),
                  (unsigned long long)rate_per_second(bytes - run->last_bytes, elapsed_ns), name,
                  (unsigned long long)trouble);
    run->last_ns = now_ns;
    run->line_ns = now_ns + LINE_NS;
    run->last_count = count;
    run->last_bytes = bytes;
}

void pkt_run_columns(struct table *table, uint64_t elapsed_ns, const char *name, uint64_t count,
                     uint64_t bytes)
{
    table_time(table, "time_ns", 13, elapsed_ns);
    table_number(table, name, 10, count);
    table_number(table, "rate_pps", 9, rate_per_second(count, elapsed_ns));
    table_number(table, "bytes", 12, bytes);
    table_number(table, "bytes_per_s", 11, rate_per_second(bytes, elapsed_ns));
}

enum command_result pkt_run_result(const struct pkt_run *run)
{
    return shell_interrupted(run->session) ? COMMAND_FAILED : COMMAND_OK;
}

void pkt_refuse_port(const struct pkt_run *run, uint64_t port)
{
    console_print("%s: --port: %llu is taken, or %u ports are open already\n", run->command,
                  (unsigned long long)port, UDP_PORT_MAX);
}

struct pkt_tally {
    uint64_t count, bytes; /* datagrams, and bytes of their payload */
    uint64_t unsent;       /* of echo: answers that did not go out */
};

struct sink {
    struct pkt_run *run;
    uint64_t port, seconds;
    bool stamps; /* ask for time stamps */
    struct udp_socket *socket;
    struct pkt_tally tally;
    struct histogram age_ns; /* of the stamped ones: from the driver until they were read here */
};

static void sink_take_one(struct sink *sink, const struct packet *packet, uint64_t now_ns)
{
    sink->tally.count++;
    sink->tally.bytes += packet->length;
    if (packet->received_ns != 0) {
        histogram_add(&sink->age_ns,
                      now_ns > packet->received_ns ? now_ns - packet->received_ns : 0);
    }
}

/* Takes datagrams until the time is over. */
static void sink_take(struct sink *sink)
{
    struct packet *packets[SINK_BATCH];
    struct pkt_run *run = sink->run;

    while (pkt_run_goes_on(run)) {
        unsigned got =
            udp_socket_receive_many(sink->socket, pkt_run_look_ns(run), packets, SINK_BATCH);
        uint64_t now_ns = clock_now_ns();

        for (unsigned i = 0; i < got; i++) {
            sink_take_one(sink, packets[i], now_ns);
            packet_free(packets[i]);
        }
        pkt_run_show(run, sink->tally.count, sink->tally.bytes, "dropped",
                     udp_socket_dropped(sink->socket));
    }
}

static void sink_report(const struct sink *sink, uint64_t elapsed_ns, uint64_t dropped)
{
    struct table table;

    table_begin(&table, "pkt.sink", sink->run->json);
    table_row(&table);
    table_number(&table, "port", 5, sink->port);
    pkt_run_columns(&table, elapsed_ns, "received", sink->tally.count, sink->tally.bytes);
    table_number(&table, "dropped", 9, dropped);
    table_number(&table, "stamped", 9, sink->age_ns.count);
    table_time_or_none(&table, "age_p50_ns", 10, sink->age_ns.count != 0,
                       histogram_quantile(&sink->age_ns, 500));
    table_end_row(&table);
    table_end(&table);
}

static enum command_result sink_run(struct sink *sink, int argc, char **argv)
{
    struct pkt_run *run = sink->run;
    const struct option options[] = {
        OPTION_JSON(&run->json),
        OPTION_NUMBER("--port", &sink->port, 1, 65535),
        OPTION_NUMBER("--seconds", &sink->seconds, 1, PKT_SECONDS_MAX),
        OPTION_FLAG("--stamps", &sink->stamps),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!net_command_has_address(run->session, run->command)) {
        return COMMAND_FAILED;
    }
    sink->socket = udp_socket_open((uint16_t)sink->port, SINK_DEPTH, sink->stamps);
    if (sink->socket == NULL) {
        pkt_refuse_port(run, sink->port);
        return COMMAND_FAILED;
    }
    pkt_run_begin(run, sink->seconds);
    sink_take(sink);

    uint64_t elapsed_ns = clock_now_ns() - run->began_ns;
    uint64_t dropped = udp_socket_dropped(sink->socket);

    udp_socket_close(sink->socket);
    sink_report(sink, elapsed_ns, dropped);
    return pkt_run_result(run);
}

static enum command_result pkt_sink_run(struct pkt_run *run, int argc, char **argv)
{
    struct sink *sink = heap_allocate(sizeof(*sink)); /* 2 KiB of buckets: not on the stack */

    if (sink == NULL) {
        console_print("%s: out of memory\n", run->command);
        return COMMAND_FAILED;
    }
    sink->run = run;
    sink->port = PORT_UNLESS_GIVEN;
    sink->seconds = SECONDS_UNLESS;

    enum command_result result = sink_run(sink, argc, argv);

    heap_free(sink);
    return result;
}

/* In the poll thread of whichever queue it came from: atomic, for there may be several. */
static void echo_handle(void *argument, const struct udp_datagram *datagram)
{
    struct pkt_tally *tally = argument;

    __atomic_fetch_add(&tally->count, 1, __ATOMIC_RELAXED);
    __atomic_fetch_add(&tally->bytes, datagram->packet->length, __ATOMIC_RELAXED);
    if (!udp_send_back(datagram, false)) {
        __atomic_fetch_add(&tally->unsent, 1, __ATOMIC_RELAXED);
    }
}

static enum command_result pkt_echo_run(struct pkt_run *run, int argc, char **argv)
{
    struct pkt_tally tally = {0};
    uint64_t port = PORT_UNLESS_GIVEN;
    uint64_t seconds = SECONDS_UNLESS;
    struct table table;
    const struct option options[] = {
        OPTION_JSON(&run->json),
        OPTION_NUMBER("--port", &port, 1, 65535),
        OPTION_NUMBER("--seconds", &seconds, 1, PKT_SECONDS_MAX),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!net_command_has_address(run->session, run->command)) {
        return COMMAND_FAILED;
    }
    if (udp_bind((uint16_t)port, echo_handle, &tally) == 0) {
        pkt_refuse_port(run, port);
        return COMMAND_FAILED;
    }
    pkt_run_begin(run, seconds);
    while (pkt_run_goes_on(run)) {
        pkt_run_nap(run);
        pkt_run_show(run, __atomic_load_n(&tally.count, __ATOMIC_RELAXED),
                     __atomic_load_n(&tally.bytes, __ATOMIC_RELAXED), "unsent",
                     __atomic_load_n(&tally.unsent, __ATOMIC_RELAXED));
    }
    udp_unbind((uint16_t)port); /* nobody is in the handler any more */

    uint64_t elapsed_ns = clock_now_ns() - run->began_ns;

    table_begin(&table, "pkt.echo", run->json);
    table_row(&table);
    table_number(&table, "port", 5, port);
    pkt_run_columns(&table, elapsed_ns, "received", tally.count, tally.bytes);
    table_number(&table, "unsent", 9, tally.unsent);
    table_end_row(&table);
    table_end(&table);
    return pkt_run_result(run);
}

static const struct verb {
    const char *word;
    char *command;
    enum command_result (*run)(struct pkt_run *run, int argc, char **argv);
} verbs[] = {
    {"sink", "pkt sink", pkt_sink_run},
    {"echo", "pkt echo", pkt_echo_run},
    {"flood", "pkt flood", pkt_flood_run},
    {"count", "pkt count", pkt_count_run},
};

static enum command_result pkt_run(struct shell_session *session, int argc, char **argv)
{
    for (size_t i = 0; argc > 1 && i < ARRAY_COUNT(verbs); i++) {
        if (strcmp(argv[1], verbs[i].word) == 0) {
            struct pkt_run run = {.session = session, .command = verbs[i].command};

            argv[1] = verbs[i].command;
            return verbs[i].run(&run, argc - 1, argv + 1);
        }
    }
    if (argc == 1) {
        console_print("pkt: argument missing: sink, echo, flood or count\n");
    } else {
        console_print("pkt: '%s' is not one of sink, echo, flood, count\n", argv[1]);
    }
    return COMMAND_USAGE;
}

static void pkt_complete(struct shell_completion *completion, int argument, char **argv)
{
    static const char *const words[] = {"sink", "echo", "flood", "count", NULL};

    if (argument == 1) {
        shell_completion_offer_all(completion, words);
    } else if (argument == 2 && strcmp(argv[1], "count") == 0) {
        net_command_complete_devices(completion);
    }
}

const struct shell_command command_pkt = {
    .name = "pkt",
    .summary = "take, echo, send or count packets for a while, and how many a second",
    .usage = "pkt sink [--port P] [--seconds S] [--stamps] | echo [--port P] [--seconds S] | "
             "flood ADDRESS [--port P] [--size BYTES] [--count N] [--seconds S] | "
             "count [NIC] [--seconds S] [-j]",
    .example = "pkt flood 10.0.2.2 --size 60 --count 100000",
    .details =
        "A line a second, and a row at the end, which Ctrl-C brings at once; --seconds: 10.\n"
        "sink: a socket on --port (9000) and this thread take UDP datagrams; dropped: the\n"
        "socket's queue was full. --stamps: with the key netstamp_needed on meanwhile; stamped:\n"
        "datagrams with the driver's time, age: from then until the thread read them. echo:\n"
        "sends each back from the poll thread; unsent: answers that found the ring full or the\n"
        "link down, or may not be given. flood: sends UDP datagrams to --port (9), each frame of\n"
        "--size bytes (60; without the check sequence) with its number in front and a right\n"
        "checksum; ring_full: how often it waited for room.\n"
        "count: what a program sees, by protocol, and lets pass.",
    .run = pkt_run,
    .complete = pkt_complete,
};
