// SPDX-License-Identifier: MIT
/* `bench ipi`: round trips of inter-processor interrupts, to itself, to one CPU, to all others.
 * Invariant: each sample is one send until the acknowledgement is seen. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/ipi.h"
#include "arch/traps.h"
#include "bench/bench.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/table.h"
#include "kernel/thread.h"

#define DEFAULT_SAMPLES 1000
#define ROW_BUDGET_NS   2000000000ull /* unless -n was given: busy peers may take 20 ms a sample */

static const char *const what_names[] = {"self", "unicast", "broadcast", NULL};
enum what { WHAT_SELF, WHAT_UNICAST, WHAT_BROADCAST };

/* Work of a busy peer: something that is not a site. */
static uint32_t busy_work(void)
{
    static uint32_t sink;
    return __atomic_fetch_add(&sink, 1, __ATOMIC_RELAXED);
}

/* A call interrupt without a call: taken, counted, acknowledged. */
static void self_round_trip(void)
{
    const uint64_t *received = &this_cpu()->counters.ipis_received[IPI_CALL];
    uint64_t before = __atomic_load_n(received, __ATOMIC_RELAXED);
    ipi_send(cpu_index(), VECTOR_CALL);
    while (__atomic_load_n(received, __ATOMIC_RELAXED) == before) {
        cpu_relax();
    }
}

static unsigned first_other_cpu(void)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu != cpu_index() && cpu_index_is_online(cpu)) {
            return cpu;
        }
    }
    return cpu_index();
}

static void round_trip(enum what what, unsigned peer)
{
    if (what == WHAT_SELF) {
        self_round_trip();
    } else if (what == WHAT_UNICAST) {
        sync_core_one(peer);
    } else {
        sync_cores_others();
    }
}

static enum command_result row_run(struct shell_session *session, struct table *table,
                                   enum what what, enum bench_load load, uint64_t samples,
                                   uint64_t budget_ns)
{
    static struct histogram times;
    unsigned peer = first_other_cpu();
    times = (struct histogram){0};
    if (load == BENCH_LOAD_BUSY && !bench_load_start(busy_work)) {
        console_print("bench ipi: out of memory for the load threads\n");
        return COMMAND_FAILED;
    }
    bool stopped = false;
    uint64_t deadline = clock_now_ns() + budget_ns;
    for (uint64_t i = 0; i < samples && !stopped; i++) {
        if (budget_ns != 0 && clock_now_ns() > deadline) {
            break;
        }
        uint64_t start = read_tsc();
        round_trip(what, peer);
        histogram_add(&times, clock_ticks_to_ns(read_tsc() - start));
        stopped = shell_interrupted(session);
    }
    if (load == BENCH_LOAD_BUSY) {
        bench_load_stop();
    }
    if (stopped) {
        console_print("bench ipi: stopped by Ctrl-C\n");
        return COMMAND_FAILED;
    }
    table_row(table);
    table_text(table, "what", 9, what_names[what]);
    table_text(table, "peer", 4, bench_load_names[load]);
    table_number(table, "n", 6, times.count);
    table_time(table, "min_ns", 9, times.minimum);
    table_time(table, "p50_ns", 9, histogram_quantile(&times, 500));
    table_time(table, "p99_ns", 9, histogram_quantile(&times, 990));
    table_time(table, "max_ns", 9, times.maximum);
    table_end_row(table);
    return COMMAND_OK;
}

uint64_t bench_sync_ipis_sent(void)
{
    uint64_t sent = 0;

    for (uint32_t i = 0; i < cpu_present_count(); i++) {
        sent += __atomic_load_n(&cpu_by_index(i)->counters.ipis_sent[IPI_SYNC], __ATOMIC_RELAXED);
    }
    return sent;
}

static enum command_result bench_ipi_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    uint64_t samples = 0;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_NUMBER("-n", &samples, 1, 1000000),
    };
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    struct table table;
    table_begin(&table, "bench.ipi", json);
    for (enum what what = WHAT_SELF; what <= WHAT_BROADCAST; what++) {
        for (enum bench_load load = BENCH_LOAD_IDLE; load <= BENCH_LOAD_BUSY; load++) {
            if (what != WHAT_SELF && cpu_count() == 1) {
                continue; /* nobody to send to */
            }
            if (load == BENCH_LOAD_BUSY && (what == WHAT_SELF || cpu_count() == 1)) {
                continue; /* the peer of a self-IPI is the sender */
            }
            enum command_result outcome =
                row_run(session, &table, what, load, samples != 0 ? samples : DEFAULT_SAMPLES,
                        samples != 0 ? 0 : ROW_BUDGET_NS);
            if (outcome != COMMAND_OK) {
                return outcome;
            }
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_bench_ipi = {
    .name = "ipi",
    .summary = "round trips of IPIs, to one CPU and to all",
    .usage = "bench ipi [-n N] [-j]",
    .example = "bench ipi -n 100",
    .details = "N of each row; without -n, up to 1000 or 2 s a row.",
    .run = bench_ipi_run,
};
