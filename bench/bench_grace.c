// SPDX-License-Identifier: MIT
/* `bench grace`: how long one waits until all threads have left old code (kernel/grace_period.h).
 * Invariant: each sample is one whole period; a period that is given up ends the bench, and the log
 * names the thread. */
#include "arch/clock.h"
#include "arch/percpu.h"
#include "bench/bench.h"
#include "kernel/console.h"
#include "kernel/grace_period.h"
#include "kernel/options.h"
#include "kernel/table.h"

#define DEFAULT_SAMPLES 200

/* Work of a busy CPU; between two of these its thread passes a checkpoint. */
static uint32_t busy_work(void)
{
    static uint32_t sink;

    return __atomic_fetch_add(&sink, 1, __ATOMIC_RELAXED);
}

static enum command_result periods_time(struct shell_session *session, uint64_t samples,
                                        struct histogram *times)
{
    *times = (struct histogram){0};
    while (times->count < samples) {
        uint64_t start_ns = clock_now_ns();

        if (!synchronize_tasks()) {
            console_print("bench grace: a grace period was given up; the log names the thread\n");
            return COMMAND_FAILED;
        }
        histogram_add(times, clock_now_ns() - start_ns);
        if (shell_interrupted(session)) {
            console_print("bench grace: stopped by Ctrl-C\n");
            return COMMAND_FAILED;
        }
    }
    return COMMAND_OK;
}

static enum command_result row_run(struct shell_session *session, struct table *table,
                                   enum bench_load load, uint64_t samples)
{
    static struct histogram times;

    if (load == BENCH_LOAD_BUSY && !bench_load_start(busy_work)) {
        console_print("bench grace: out of memory for the load threads\n");
        return COMMAND_FAILED;
    }
    enum command_result outcome = periods_time(session, samples, &times);

    if (load == BENCH_LOAD_BUSY) {
        bench_load_stop();
    }
    if (outcome != COMMAND_OK) {
        return outcome;
    }
    table_row(table);
    table_text(table, "peers", 5, bench_load_names[load]);
    table_number(table, "n", 6, times.count);
    table_time(table, "min_ns", 10, times.minimum);
    table_time(table, "p50_ns", 10, histogram_quantile(&times, 500));
    table_time(table, "p99_ns", 10, histogram_quantile(&times, 990));
    table_time(table, "max_ns", 10, times.maximum);
    table_end_row(table);
    return COMMAND_OK;
}

static enum command_result bench_grace_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    uint64_t samples = DEFAULT_SAMPLES;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_NUMBER("-n", &samples, 1, 100000),
    };
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    table_begin(&table, "bench.grace", json);
    for (enum bench_load load = BENCH_LOAD_IDLE; load <= BENCH_LOAD_BUSY; load++) {
        if (load == BENCH_LOAD_BUSY && cpu_count() == 1) {
            continue; /* no peer */
        }
        enum command_result outcome = row_run(session, &table, load, samples);

        if (outcome != COMMAND_OK) {
            return outcome;
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_bench_grace = {
    .name = "grace",
    .summary = "waits until every thread was seen outside patched code",
    .usage = "bench grace [-n N] [-j]",
    .example = "bench grace -n 50",
    .details = "N times (200); busy: all other CPUs compute, and pass a checkpoint in each round.",
    .run = bench_grace_run,
};
