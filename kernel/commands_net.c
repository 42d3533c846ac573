// SPDX-License-Identifier: MIT
/* The shell commands net and ping: addresses, neighbours, what became of the frames, and whether a
 * host answers. Invariant: they read, and send nothing but echo requests. */
#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/heap.h"
#include "kernel/net_command.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "net/arp.h"
#include "net/counters.h"
#include "net/icmp.h"
#include "net/ipv4.h"
#include "net/net_config.h"
#include "net/receive.h"
#include "patching/histogram.h"

#define PREFIX_TEXT_BYTES (IPV4_TEXT_BYTES + 3) /* "/24" */
#define NAP_NS            50000000ull           /* between two looks for Ctrl-C */

static void table_own_address(struct table *table, const struct net_device *device)
{
    uint32_t address = __atomic_load_n(&device->ipv4_address, __ATOMIC_RELAXED);
    uint32_t mask = __atomic_load_n(&device->ipv4_mask, __ATOMIC_RELAXED);
    char text[PREFIX_TEXT_BYTES];
    char address_text[IPV4_TEXT_BYTES];

    if (address == 0) {
        table_none(table, "address", PREFIX_TEXT_BYTES - 1);
        return;
    }
    ipv4_format(address, address_text);
    /* A mask is ones, then zeros. */
    format_text(text, sizeof(text), "%s/%d", address_text,
                mask == 0 ? 0 : 32 - __builtin_ctz(mask));
    table_text(table, "address", PREFIX_TEXT_BYTES - 1, text);
}

static void addresses_print(bool json)
{
    const struct net_device *device;
    struct table table;

    table_begin(&table, "net.address", json);
    for (unsigned i = 0; (device = net_device_at(i)) != NULL; i++) {
        uint64_t lease_ns;
        /* Before anything else is read: a row that says "bound" has all that the lease gives. */
        const char *dhcp = net_dhcp_state(device, &lease_ns);
        enum net_config_source source = net_config_source(device);

        table_row(&table);
        table_text(&table, "name", 5, device->name);
        table_own_address(&table, device);
        table_text(&table, "source", 6, net_config_source_name(source));
        table_text(&table, "dhcp", 9, dhcp);
        if (lease_ns != 0 && lease_ns != UINT64_MAX) {
            table_number(&table, "lease_s", 10, lease_ns / 1000000000);
        } else {
            table_none(&table, "lease_s", 10);
        }
        if (net_config_gateway() != 0) {
            table_address(&table, "gateway", net_config_gateway());
        } else {
            table_none(&table, "gateway", IPV4_TEXT_BYTES - 1);
        }
        table_end_row(&table);
    }
    table_end(&table);
}

static void neighbours_print(bool json)
{
    struct arp_view view;
    struct table table;
    char mac[MAC_TEXT_BYTES];

    table_begin(&table, "net.arp", json);
    for (unsigned i = 0; i < ARP_ENTRY_MAX; i++) {
        if (!arp_look(i, &view)) {
            continue;
        }
        table_row(&table);
        table_text(&table, "name", 5, view.device->name);
        table_address(&table, "address", view.address);
        if (view.state == ARP_KNOWN) {
            mac_format(view.mac, mac);
            table_text(&table, "mac", MAC_TEXT_BYTES - 1, mac);
        } else {
            table_none(&table, "mac", MAC_TEXT_BYTES - 1);
        }
        table_text(&table, "state", 5, arp_state_name(view.state));
        table_number(&table, "age_ms", 9, view.age_ns / 1000000);
        table_number(&table, "pending", 7, view.pending);
        table_end_row(&table);
    }
    table_end(&table);
}

/* For people only what has happened, or 45 zeros would hide it. */
static void counters_print(bool json)
{
    struct table table;

    table_begin(&table, "net.counter", json);
    for (enum net_counter counter = 0; counter < NET_COUNTER_COUNT; counter++) {
        uint64_t value = net_counter_read(counter);

        if (value != 0 || json) {
            table_row(&table);
            table_text(&table, "counter", 28, net_counter_names[counter]);
            table_number(&table, "value", 12, value);
            table_end_row(&table);
        }
    }
    table_end(&table);
}

static enum command_result net_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }

    bool arp_alone = argc > 1 && strcmp(argv[1], "arp") == 0;
    bool counters_alone = argc > 1 && strcmp(argv[1], "counters") == 0;

    if (argc > 1 && !arp_alone && !counters_alone) {
        console_print("net: '%s' is not one of arp, counters\n", argv[1]);
        return COMMAND_USAGE;
    }
    if (argc == 1) {
        addresses_print(json);
    }
    if (!counters_alone) {
        neighbours_print(json);
    }
    if (!arp_alone) {
        counters_print(json);
    }
    return COMMAND_OK;
}

static void net_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    static const char *const words[] = {"arp", "counters", NULL};

    if (argument == 1) {
        shell_completion_offer_all(completion, words);
    }
}

const struct shell_command command_net = {
    .name = "net",
    .summary = "addresses, ARP table, counters by protocol and by reason of a drop",
    .usage = "net [arp|counters] [-j]",
    .example = "net counters",
    .details = "Alone all three. Addresses are set by ip= and gw= on the kernel command line, or\n"
               "asked for by DHCP. Counters that are 0 are left out, but not with -j.",
    .run = net_run,
    .complete = net_complete,
};

struct ping {
    struct shell_session *session;
    uint32_t destination;
    uint64_t count, payload, interval_ms, patience_ms;
    bool json;
    uint32_t sent, answered;
    struct histogram round_trip_ns;
};

static bool ping_is_stopped(void *argument)
{
    const struct ping *ping = argument;

    return shell_interrupted(ping->session);
}

static const char *ping_outcome_name(enum icmp_ping_outcome outcome)
{
    static const char *const names[] = {
        [ICMP_PING_ANSWERED] = "answered",         [ICMP_PING_TIMEOUT] = "no answer",
        [ICMP_PING_UNREACHABLE] = "unreachable",   [ICMP_PING_NOT_SENT] = "not sent",
        [ICMP_PING_WRONG_PAYLOAD] = "wrong bytes",
    };

    return outcome < ARRAY_COUNT(names) ? names[outcome] : "unknown";
}

static void ping_row_print(struct table *table, const struct ping *ping, uint64_t sequence,
                           const struct icmp_ping_result *result)
{
    bool is_answered = result->outcome == ICMP_PING_ANSWERED;
    bool has_sender = is_answered || result->outcome == ICMP_PING_WRONG_PAYLOAD ||
                      result->outcome == ICMP_PING_UNREACHABLE;

    table_row(table);
    table_number(table, "sequence", 8, sequence);
    table_text(table, "outcome", 11, ping_outcome_name(result->outcome));
    if (has_sender) {
        table_address(table, "from", result->from);
        table_number(table, "ttl", 3, result->ttl);
    } else {
        table_none(table, "from", IPV4_TEXT_BYTES - 1);
        table_none(table, "ttl", 3);
    }
    table_number(table, "bytes", 5, ping->payload);
    table_time_or_none(table, "round_trip_ns", 14, is_answered, result->round_trip_ns);
    table_end_row(table);
}

static void ping_summary_print(const struct ping *ping)
{
    const struct histogram *times = &ping->round_trip_ns;
    bool is_any = times->count != 0;
    struct table table;

    table_begin(&table, "ping", ping->json);
    table_row(&table);
    table_address(&table, "host", ping->destination);
    table_number(&table, "sent", 6, ping->sent);
    table_number(&table, "answered", 8, ping->answered);
    table_number(&table, "lost", 6, ping->sent - ping->answered);
    table_time_or_none(&table, "min_ns", 10, is_any, times->minimum);
    table_time_or_none(&table, "p50_ns", 10, is_any, histogram_quantile(times, 500));
    table_time_or_none(&table, "p99_ns", 10, is_any, histogram_quantile(times, 990));
    table_time_or_none(&table, "max_ns", 10, is_any, times->maximum);
    table_end_row(&table);
    table_end(&table);
}

/* Sleeps until the next one is due, or Ctrl-C. */
static void ping_nap(const struct ping *ping, uint64_t until_ns)
{
    uint64_t now_ns;

    while (!shell_interrupted(ping->session) && (now_ns = clock_now_ns()) < until_ns) {
        uint64_t left_ns = until_ns - now_ns;

        thread_sleep_ns(left_ns < NAP_NS ? left_ns : NAP_NS);
    }
}

static void ping_all(struct ping *ping)
{
    struct table table;

    table_begin(&table, "ping.reply", ping->json);
    for (uint64_t i = 0; i < ping->count && !shell_interrupted(ping->session); i++) {
        struct icmp_ping_result result;
        uint64_t began_ns = clock_now_ns();

        icmp_ping(ping->destination, (uint16_t)i, (uint32_t)ping->payload,
                  ping->patience_ms * 1000000, ping_is_stopped, ping, &result);
        ping->sent += result.outcome != ICMP_PING_NOT_SENT;
        if (result.outcome == ICMP_PING_ANSWERED) {
            ping->answered++;
            histogram_add(&ping->round_trip_ns, result.round_trip_ns);
        }
        ping_row_print(&table, ping, i, &result);
        if (i + 1 < ping->count) {
            ping_nap(ping, began_ns + ping->interval_ms * 1000000);
        }
    }
    table_end(&table);
    ping_summary_print(ping);
}

static enum command_result ping_request_run(struct ping *ping, int argc, char **argv)
{
    struct net_device *device;
    uint32_t next_hop;
    const struct option options[] = {
        OPTION_JSON(&ping->json),
        OPTION_NUMBER("-c", &ping->count, 1, 1000000),
        OPTION_NUMBER("-s", &ping->payload, 0, ICMP_PAYLOAD_MAX),
        OPTION_NUMBER("-i", &ping->interval_ms, 0, 60000),
        OPTION_NUMBER("-w", &ping->patience_ms, 1, 60000),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1) ||
        !net_command_read_address("ping", argv[1], &ping->destination)) {
        return COMMAND_USAGE;
    }
    if (!net_command_route(ping->session, "ping", ping->destination, &device, &next_hop)) {
        return COMMAND_FAILED;
    }
    /* Held over all of them: one change of the text instead of two for each. */
    bool has_stamps = static_key_increment(&netstamp_needed) == PATCH_OK;

    ping_all(ping);
    if (has_stamps && static_key_decrement(&netstamp_needed) != PATCH_OK) {
        console_print("ping: the key netstamp_needed stays on: a CPU does not answer\n");
    }
    return ping->answered != 0 && !shell_interrupted(ping->session) ? COMMAND_OK : COMMAND_FAILED;
}

static enum command_result ping_run(struct shell_session *session, int argc, char **argv)
{
    struct ping *ping = heap_allocate(sizeof(*ping)); /* 2 KiB of buckets: not on the stack */

    if (ping == NULL) {
        console_print("ping: out of memory\n");
        return COMMAND_FAILED;
    }
    ping->session = session;
    ping->count = 4;
    ping->payload = 56;
    ping->interval_ms = 1000;
    ping->patience_ms = 1000;

    enum command_result result = ping_request_run(ping, argc, argv);

    heap_free(ping);
    return result;
}

const struct shell_command command_ping = {
    .name = "ping",
    .summary = "ask a host for an echo, and how long it takes",
    .usage = "ping ADDRESS [-c N] [-s BYTES] [-i MS] [-w MS] [-j]",
    .example = "ping 10.0.2.2 -c 3",
    .details =
        "-c: how many (4); -s: bytes behind the ICMP header (56); -i: from one to the next\n"
        "(1000 ms); -w: how long to wait for each answer (1000 ms). The round trip ends with\n"
        "the time stamp of the driver: the key netstamp_needed is on meanwhile. Fails if\n"
        "nothing was answered.",
    .run = ping_run,
};
