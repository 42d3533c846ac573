// SPDX-License-Identifier: MIT
/* pkt count: frames by protocol, counted by a program (net/program.h) that lets all pass.
 * Invariant: a counter has one writer, the poll thread of its queue. */
#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/pkt.h"
#include "kernel/string.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "net/program.h"
#include "net/wire.h"

#define SECONDS_UNLESS    10
#define ETHERTYPE_IPV6    0x86dd
#define AT_IPV4_PROTOCOL  (ETHERNET_HEADER_BYTES + 9)
#define IPV4_PROTOCOL_TCP 6

enum kind { KIND_ARP, KIND_ICMP, KIND_UDP, KIND_TCP, KIND_IPV4, KIND_IPV6, KIND_OTHER, KIND_COUNT };

static const char *const kind_names[KIND_COUNT] = {
    "arp", "icmp", "udp", "tcp", "ipv4 other", "ipv6", "other",
};

/* By queue: each written by its poll thread alone. */
static struct queue_tally {
    uint64_t frames[KIND_COUNT];
    uint64_t bytes[KIND_COUNT];
} __attribute__((aligned(64))) tallies[NET_DEVICE_MAX][NET_QUEUE_MAX];

static enum kind kind_of_ipv4(uint8_t protocol)
{
    switch (protocol) {
    case IPV4_PROTOCOL_ICMP:
        return KIND_ICMP;
    case IPV4_PROTOCOL_UDP:
        return KIND_UDP;
    case IPV4_PROTOCOL_TCP:
        return KIND_TCP;
    default:
        return KIND_IPV4;
    }
}

static enum kind kind_of_frame(const uint8_t *frame, uint32_t length)
{
    uint16_t type = length >= ETHERNET_HEADER_BYTES ? wire_get16(frame + 2 * MAC_BYTES) : 0;

    if (type == ETHERTYPE_IPV4 && length >= ETHERNET_HEADER_BYTES + IPV4_HEADER_BYTES) {
        return kind_of_ipv4(frame[AT_IPV4_PROTOCOL]);
    }
    if (type == ETHERTYPE_ARP) {
        return KIND_ARP;
    }
    return type == ETHERTYPE_IPV6 ? KIND_IPV6 : KIND_OTHER;
}

static void tally_add(uint64_t *counter, uint64_t value)
{
    /* Relaxed: one writer; readers want a figure, no order. */
    __atomic_store_n(counter, __atomic_load_n(counter, __ATOMIC_RELAXED) + value, __ATOMIC_RELAXED);
}

static unsigned count_and_pass(const void *context, const void *instructions)
{
    (void)instructions;
    const struct packet *packet = context;
    struct queue_tally *tally = &tallies[packet->device->index][packet->queue];
    enum kind kind = kind_of_frame(packet->data, packet->length);

    tally_add(&tally->frames[kind], 1);
    tally_add(&tally->bytes[kind], packet->length);
    return NET_ACTION_PASS;
}

/* All queues of a device together. */
static struct queue_tally tally_read(const struct net_device *device)
{
    struct queue_tally sum = {0};

    for (unsigned queue = 0; queue < device->queue_count; queue++) {
        const struct queue_tally *tally = &tallies[device->index][queue];

        for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
            sum.frames[kind] += __atomic_load_n(&tally->frames[kind], __ATOMIC_RELAXED);
            sum.bytes[kind] += __atomic_load_n(&tally->bytes[kind], __ATOMIC_RELAXED);
        }
    }
    return sum;
}

static struct net_program count_program;

struct count_request {
    struct pkt_run *run;
    struct net_device *devices[NET_DEVICE_MAX];
    unsigned count;
    struct queue_tally before[NET_DEVICE_MAX];
};

static void request_show(const struct count_request *request)
{
    uint64_t frames = 0;
    uint64_t bytes = 0;
    uint64_t other = 0;

    for (unsigned i = 0; i < request->count; i++) {
        struct queue_tally now = tally_read(request->devices[i]);

        for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
            frames += now.frames[kind] - request->before[i].frames[kind];
            bytes += now.bytes[kind] - request->before[i].bytes[kind];
        }
        other += now.frames[KIND_OTHER] - request->before[i].frames[KIND_OTHER];
    }
    pkt_run_show(request->run, frames, bytes, "of no known type", other);
}

/* A row for each protocol that was seen, and one for all. */
static void request_print(const struct count_request *request, uint64_t elapsed_ns)
{
    struct table table;

    table_begin(&table, "pkt.count", request->run->json);
    for (unsigned i = 0; i < request->count; i++) {
        struct queue_tally now = tally_read(request->devices[i]);
        uint64_t frames = 0;
        uint64_t bytes = 0;

        for (enum kind kind = 0; kind <= KIND_COUNT; kind++) {
            bool is_sum = kind == KIND_COUNT;
            uint64_t seen = is_sum ? frames : now.frames[kind] - request->before[i].frames[kind];
            uint64_t long_ = is_sum ? bytes : now.bytes[kind] - request->before[i].bytes[kind];

            frames += seen;
            bytes += long_;
            if (seen != 0 || is_sum) {
                table_row(&table);
                table_text(&table, "name", 5, request->devices[i]->name);
                table_text(&table, "protocol", 10, is_sum ? "all" : kind_names[kind]);
                pkt_run_columns(&table, elapsed_ns, "frames", seen, long_);
                table_end_row(&table);
            }
        }
    }
    table_end(&table);
}

static void detach(struct count_request *request, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        net_program_detach_all(request->devices[i]);
    }
}

/* To all devices or none; says why it is none. */
static bool attach(struct count_request *request)
{
    struct patch_error error = {0};

    net_program_initialize(&count_program, "pkt count", count_and_pass, NULL);
    for (unsigned i = 0; i < request->count; i++) {
        enum net_program_status status =
            net_program_attach(request->devices[i], NET_PROGRAM_ALL_QUEUES, &count_program, &error);

        if (status != NET_PROGRAM_OK && status != NET_PROGRAM_FULL) {
            console_print("%s: %s: %s\n", request->run->command, request->devices[i]->name,
                          status == NET_PROGRAM_PATCH ? patch_status_text(error.status)
                                                      : net_program_status_text(status));
            detach(request, i);
            return false;
        }
    }
    return true;
}

static bool request_run(struct count_request *request, uint64_t seconds)
{
    for (unsigned i = 0; i < request->count; i++) {
        request->before[i] = tally_read(request->devices[i]);
    }
    if (!attach(request)) {
        return false;
    }
    pkt_run_begin(request->run, seconds);
    while (pkt_run_goes_on(request->run)) {
        pkt_run_nap(request->run);
        request_show(request);
    }

    uint64_t elapsed_ns = clock_now_ns() - request->run->began_ns;

    detach(request, request->count);
    request_print(request, elapsed_ns);
    return true;
}

/* All devices, or the one named. Returns false after saying why there is none. */
static bool devices_choose(struct count_request *request, const char *name)
{
    struct net_device *device;

    if (name != NULL) {
        device = net_command_find_device(request->run->command, name);
        request->devices[0] = device;
        request->count = 1;
        return device != NULL;
    }
    while (request->count < NET_DEVICE_MAX && (device = net_device_at(request->count)) != NULL) {
        request->devices[request->count++] = device;
    }
    if (request->count == 0) {
        console_print("%s: there is no network device\n", request->run->command);
    }
    return request->count != 0;
}

static bool devices_are_free(const struct count_request *request)
{
    for (unsigned i = 0; i < request->count; i++) {
        if (net_command_has_program(request->run->command, request->devices[i])) {
            return false;
        }
    }
    return true;
}

enum command_result pkt_count_run(struct pkt_run *run, int argc, char **argv)
{
    uint64_t seconds = SECONDS_UNLESS;
    const struct option options[] = {
        OPTION_JSON(&run->json),
        OPTION_NUMBER("--seconds", &seconds, 1, PKT_SECONDS_MAX),
    };
    struct count_request request = {.run = run};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (!devices_choose(&request, argc > 1 ? argv[1] : NULL) || !devices_are_free(&request)) {
        return COMMAND_FAILED;
    }
    return request_run(&request, seconds) ? pkt_run_result(run) : COMMAND_FAILED;
}
