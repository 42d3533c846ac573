// SPDX-License-Identifier: MIT
/* Seed 1 in `bench seeds`: packets a second, and packets by the time that CPUs are busy, of 1-byte
 * UDP streams under retpolines, without and with dynamic calls. They learn once; then runs behind
 * closed gates and runs as it was learnt take turns, and which comes first: what else the host does
 * meets both alike. The worker goes on in the runs with dynamic calls: what it costs is in their
 * figures, and patches that it makes are counted. Published figures are constants of this file;
 * measured ones are never. Called by: bench_seeds.c. */
#include "bench/bench_seed_packets.h"

#include "arch/clock.h"
#include "bench/bench_net_dyncall.h"
#include "bench/bench_net_entries.h"
#include "bench/bench_net_streams.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/thread.h"
#include "patching/indirect_thunk.h"

#define COMMAND         "bench seeds"
#define PAIRS           10
#define STRETCH_PACKETS 20000u /* at least; a stretch ends when they are done with, */
#define STRETCH_NS      20000000ull
#define WARM_PACKETS    4000u
#define PATIENCE_NS     2000000000ull /* or when it has taken so long */
#define LEARN_NS        5000000000ull /* at most */
#define LOOK_NS         2000000ull
#define PORT            9000

enum { WITHOUT, WITH, WAYS };
enum { PATH_CALLS = 3 }; /* deliver, ipv4_deliver, udp_deliver */

/* Seed 1, "dynamic calls" (RFC, 2018): one stream 470 to 504 thousand packets a second, 7 % more;
 * by CPU time 13 % fewer; four streams 2 % fewer, "not statistically significant". */
static const struct experiment {
    unsigned streams;
    const char *rate, *rate_by_busy, *learnt, *patches;
    bool has_kpps, has_percent_by_busy;
    uint64_t kpps[WAYS];
    int64_t percent, percent_by_busy;
} experiments[] = {
    {1,
     "packets a second, 1 stream",
     "packets by busy CPU second, 1 stream",
     "dynamic calls that opened, of 3",
     "patches in the 10 runs, 1 stream",
     true,
     true,
     {470, 504},
     7,
     -13},
    {4,
     "packets a second, 4 streams",
     "packets by busy CPU second, 4 streams",
     "dynamic calls that opened, of 3",
     "patches in the 10 runs, 4 streams",
     false,
     false,
     {0, 0},
     -2,
     0},
};

/* A figure of both ways, over the pairs. */
struct comparison {
    int64_t figures[WAYS][PAIRS];
    int64_t percent[PAIRS]; /* thousandths, more with than without */
};

static struct result {
    struct comparison rate, rate_by_busy; /* packets a second; by second that a CPU is busy */
    uint64_t patches[WAYS];
    unsigned learnt;
} results[ARRAY_COUNT(experiments)];

static int64_t per_second(uint64_t count, uint64_t ns)
{
    return ns != 0 ? (int64_t)(count * 1000000000 / ns) : 0;
}

/* Waits until @count packets were done with and @least_ns are over. */
static void packets_wait(uint64_t count, uint64_t least_ns)
{
    uint64_t start_ns = clock_now_ns(), waited_ns = 0;
    uint64_t before = bench_net_streams_packets();

    while (waited_ns < least_ns ||
           (waited_ns < PATIENCE_NS && bench_net_streams_packets() - before < count)) {
        thread_sleep_ns(LOOK_NS);
        waited_ns = clock_now_ns() - start_ns;
    }
}

/* One run, with the dynamic calls as they are. Returns false on Ctrl-C. */
static bool stretch_run(struct shell_session *session, struct result *result, unsigned way,
                        unsigned place)
{
    uint64_t patches, packets, busy_ns, start_ns;

    packets_wait(WARM_PACKETS, 0); /* behind a patch: an emulator translates anew */
    patches = bench_net_dyncall_batches();
    start_ns = clock_now_ns();
    packets = bench_net_streams_packets();
    busy_ns = bench_net_streams_busy_ns();
    packets_wait(STRETCH_PACKETS, STRETCH_NS);
    packets = bench_net_streams_packets() - packets;
    busy_ns = bench_net_streams_busy_ns() - busy_ns;
    result->rate.figures[way][place] = per_second(packets, clock_now_ns() - start_ns);
    result->rate_by_busy.figures[way][place] = per_second(packets, busy_ns);
    result->patches[way] += bench_net_dyncall_batches() - patches;
    return !shell_interrupted(session);
}

/* What they are measured with is what they learn; those that found, on a host where a patch takes
 * long, that it would not pay, are told. */
static bool learn(struct shell_session *session, const struct bench_net_request *request,
                  unsigned *learnt)
{
    uint64_t end_ns = clock_now_ns() + LEARN_NS;

    while (bench_net_dyncall_open_count() < PATH_CALLS && clock_now_ns() < end_ns) {
        thread_sleep_ns(LOOK_NS);
        if (shell_interrupted(session)) {
            return false;
        }
    }
    *learnt = bench_net_dyncall_open_count();
    return *learnt == PATH_CALLS || bench_net_dyncall_set(BENCH_NET_DYNCALL_PIN, request);
}

/* Round PAIRS replaces the first, which warms up. */
static bool pairs_run(struct shell_session *session, struct result *result)
{
    for (unsigned round = 0; round <= PAIRS; round++) {
        for (unsigned turn = 0; turn < WAYS; turn++) {
            unsigned way = (round + turn) % WAYS;

            if (round == PAIRS && turn == 0) {
                result->patches[WITHOUT] = result->patches[WITH] = 0;
            }
            if (!bench_net_dyncall_open(way == WITH) ||
                !stretch_run(session, result, way, round % PAIRS)) {
                return false;
            }
        }
    }
    return true;
}

static void comparison_sort(struct comparison *comparison)
{
    for (unsigned i = 0; i < PAIRS; i++) {
        int64_t before = comparison->figures[WITHOUT][i];
        int64_t more = comparison->figures[WITH][i] - before;

        comparison->percent[i] = before != 0 ? more * 100000 / before : 0;
    }
    bench_net_figures_sort(comparison->figures[WITHOUT], PAIRS);
    bench_net_figures_sort(comparison->figures[WITH], PAIRS);
    bench_net_figures_sort(comparison->percent, PAIRS);
}

static bool streams_measure(struct shell_session *session, const struct experiment *experiment,
                            struct result *result)
{
    struct bench_net_request request = {.port = PORT};
    bool done = false;

    *result = (struct result){0};
    request.device = bench_net_streams_start(COMMAND, experiment->streams, PORT);
    if (request.device == NULL) {
        return false;
    }
    done = bench_net_dyncall_set(BENCH_NET_DYNCALL_AUTO, &request) &&
           learn(session, &request, &result->learnt) && pairs_run(session, result);
    done = bench_net_dyncall_open(true) && done;
    done = bench_net_dyncall_set(BENCH_NET_DYNCALL_OFF, &request) && done;
    bench_net_streams_stop();
    comparison_sort(&result->rate);
    comparison_sort(&result->rate_by_busy);
    if (!done && shell_interrupted(session)) {
        console_print(COMMAND ": stopped by Ctrl-C\n");
    }
    return done;
}

bool bench_seed_packets_measure(struct shell_session *session)
{
    enum mitigation before = mitigation_current();
    struct patch_error error;
    bool done = true;

    if (mitigation_set(MITIGATION_RETPOLINE, &error) != PATCH_OK) {
        console_print(COMMAND ": mitigation: %s\n", patch_status_text(error.status));
        return false;
    }
    if (bench_net_dyncall_begin(COMMAND)) {
        for (size_t i = 0; i < ARRAY_COUNT(experiments) && done; i++) {
            done = streams_measure(session, &experiments[i], &results[i]);
        }
        done = bench_net_dyncall_end() && done;
    } else {
        done = false;
    }
    if (mitigation_set(before, &error) != PATCH_OK) {
        console_print(COMMAND ": the mitigation is not %s again: %s\n", mitigation_name(before),
                      patch_status_text(error.status));
        done = false;
    }
    return done;
}

/* ---- rows ---- */

static void row_begin(struct table *table, const char *what, const char *unit)
{
    table_row(table);
    table_number(table, "seed", 4, 1);
    table_text(table, "what", 44, what);
    table_text(table, "unit", 8, unit);
}

static void published_print(struct table *table, bool is_published, int64_t before, int64_t after)
{
    if (is_published) {
        table_signed(table, "published_before", 0, before);
        table_signed(table, "published_after", 0, after);
    } else {
        table_none(table, "published_before", 0);
        table_none(table, "published_after", 0);
    }
}

static void measured_print(struct table *table, int64_t before, int64_t after)
{
    table_signed(table, "measured_before", 0, before);
    table_signed(table, "measured_after", 0, after);
    table_none(table, "after_min", 9);
    table_none(table, "after_max", 9);
    table_end_row(table);
}

static int64_t median(const int64_t *figures)
{
    return (figures[PAIRS / 2 - 1] + figures[PAIRS / 2]) / 2;
}

/* Thousands a second, and the percentage of it. */
static void comparison_print(struct table *table, const char *what,
                             const struct comparison *comparison, bool has_kpps,
                             const uint64_t kpps[WAYS], bool has_percent, int64_t percent)
{
    row_begin(table, what, "kpps");
    published_print(table, has_kpps, (int64_t)kpps[WITHOUT], (int64_t)kpps[WITH]);
    measured_print(table, median(comparison->figures[WITHOUT]) / 1000,
                   median(comparison->figures[WITH]) / 1000);
    row_begin(table, "the same, more than without", "percent");
    published_print(table, has_percent, 0, percent);
    table_signed(table, "measured_before", 0, 0);
    table_thousandths(table, "measured_after", 0, median(comparison->percent));
    table_thousandths(table, "after_min", 9, comparison->percent[0]);
    table_thousandths(table, "after_max", 9, comparison->percent[PAIRS - 1]);
    table_end_row(table);
}

void bench_seed_packets_print_rows(struct table *table)
{
    for (size_t i = 0; i < ARRAY_COUNT(experiments); i++) {
        const struct experiment *experiment = &experiments[i];
        const struct result *result = &results[i];

        comparison_print(table, experiment->rate, &result->rate, experiment->has_kpps,
                         experiment->kpps, true, experiment->percent);
        comparison_print(table, experiment->rate_by_busy, &result->rate_by_busy, false,
                         experiment->kpps, experiment->has_percent_by_busy,
                         experiment->percent_by_busy);
        row_begin(table, experiment->learnt, "calls");
        published_print(table, false, 0, 0);
        measured_print(table, 0, result->learnt);
        row_begin(table, experiment->patches, "batches");
        published_print(table, false, 0, 0);
        measured_print(table, (int64_t)result->patches[WITHOUT], (int64_t)result->patches[WITH]);
    }
}
