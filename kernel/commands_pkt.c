// SPDX-License-Identifier: MIT
/* The shell command pkt: takes, echoes, sends and counts packets for a while, and says how many a
 * second. Invariant: when a verb returns, its port is closed, its hook is gone and its packets are
 * back. sink and echo are here, flood and count in files of their own. */
#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/pkt.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/udp.h"
#include "net/udp_socket.h"

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

void pkt_run_columns(const struct pkt_run *run, struct table *table, uint64_t elapsed_ns,
                     const char *name, uint64_t count, uint64_t bytes)
{
    (void)run;
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

/* The options of sink and echo. Returns false after saying what is wrong with them. */
static bool listen_parse(struct pkt_run *run, int argc, char **argv, uint64_t *port,
                         uint64_t *seconds)
{
    const struct option options[] = {
        OPTION_JSON(&run->json),
        OPTION_NUMBER("--port", port, 1, 65535),
        OPTION_NUMBER("--seconds", seconds, 1, PKT_SECONDS_MAX),
    };

    *port = PORT_UNLESS_GIVEN;
    *seconds = SECONDS_UNLESS;
    return options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0);
}

struct pkt_tally {
    uint64_t count, bytes; /* datagrams, and bytes of their payload */
    uint64_t unsent;       /* of echo: answers that did not go out */
};

/* Takes datagrams until the time is over. */
static struct pkt_tally sink_take(struct pkt_run *run, struct udp_socket *socket)
{
    struct packet *packets[SINK_BATCH];
    struct pkt_tally tally = {0};

    while (pkt_run_goes_on(run)) {
        unsigned got = udp_socket_receive_many(socket, pkt_run_look_ns(run), packets, SINK_BATCH);

        for (unsigned i = 0; i < got; i++) {
            tally.bytes += packets[i]->length;
            packet_free(packets[i]);
        }
        tally.count += got;
        pkt_run_show(run, tally.count, tally.bytes, "dropped", udp_socket_dropped(socket));
    }
    return tally;
}

static enum command_result pkt_sink_run(struct pkt_run *run, int argc, char **argv)
{
    uint64_t port;
    uint64_t seconds;
    struct table table;

    if (!listen_parse(run, argc, argv, &port, &seconds)) {
        return COMMAND_USAGE;
    }
    if (!net_command_has_address(run->session, run->command)) {
        return COMMAND_FAILED;
    }

    struct udp_socket *socket = udp_socket_open((uint16_t)port, SINK_DEPTH, false);

    if (socket == NULL) {
        pkt_refuse_port(run, port);
        return COMMAND_FAILED;
    }
    pkt_run_begin(run, seconds);

    struct pkt_tally tally = sink_take(run, socket);
    uint64_t elapsed_ns = clock_now_ns() - run->began_ns;
    uint64_t dropped = udp_socket_dropped(socket);

    udp_socket_close(socket);
    table_begin(&table, "pkt.sink", run->json);
    table_row(&table);
    table_number(&table, "port", 5, port);
    pkt_run_columns(run, &table, elapsed_ns, "received", tally.count, tally.bytes);
    table_number(&table, "dropped", 9, dropped);
    table_end_row(&table);
    table_end(&table);
    return pkt_run_result(run);
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
    uint64_t port;
    uint64_t seconds;
    struct table table;

    if (!listen_parse(run, argc, argv, &port, &seconds)) {
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
    pkt_run_columns(run, &table, elapsed_ns, "received", tally.count, tally.bytes);
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
    .usage = "pkt sink|echo [--port P] [--seconds S] | flood ADDRESS [--port P] [--size BYTES] "
             "[--count N] [--seconds S] | count [NIC] [--seconds S] [-j]",
    .example = "pkt flood 10.0.2.2 --size 60 --count 100000",
    .details =
        "A line a second, and a row at the end, which Ctrl-C brings at once; --seconds: 10.\n"
        "sink: a socket on --port (9000) and this thread take UDP datagrams; dropped: the\n"
        "socket's queue was full. echo: sends each back from the poll thread; unsent: answers\n"
        "that found the ring full or the link down, or may not be given. flood: sends UDP\n"
        "datagrams to --port (9), each frame of --size bytes (60; without the check sequence)\n"
        "with its number in front and a right checksum; ring_full: how often it waited for room.\n"
        "count: what the receive hook sees, by protocol, and lets pass.",
    .run = pkt_run,
    .complete = pkt_complete,
};
