// SPDX-License-Identifier: MIT
/* `bench lazy`: call sites found while they run against sites listed by the linker, with the same
 * number of sites. For each number: all CPUs run through the sites of a lazy call none of which is
 * known, until all are direct calls; the lazy call, converged, gets another target; so does a
 * static call. Invariant: figures of batches are those of the records, and text is afterwards as
 * before. Called by: bench.c. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "bench/bench.h"
#include "bench/bench_lazy.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "kernel/thread.h"
#include "patching/record.h"

#define CONVERGENCE_LIMIT_NS 10000000000ull

struct lazy_measurement {
    uint32_t batches, rounds, ipis;
    uint64_t time_ns;
    struct lazy_call_statistics calls; /* empty for the static call */
};

static const struct bench_lazy *current; /* what the other CPUs run through */

/* Gives way to the worker, which may live on any CPU. */
static uint32_t run_and_yield(void)
{
    uint32_t sum = current->run();

    thread_yield();
    cpu_relax();
    return sum;
}

/* Adds up the records from number @first on that are about @name, or about several lazy calls. */
static void batches_add(struct lazy_measurement *m, uint64_t first, const char *name)
{
    struct patch_record record;

    for (uint64_t seq = first; seq <= patch_record_newest(); seq++) {
        if (patch_record_get(seq, &record) &&
            (strcmp(record.who, name) == 0 || strcmp(record.who, "lazy") == 0)) {
            m->batches++;
            m->rounds += record.rounds;
            m->ipis += record.ipis;
            m->time_ns += record.total_ns;
        }
    }
}

/* Runs through the sites, on this CPU too, until all are patched. Returns false if that does not
 * happen. */
static bool converge(const struct bench_lazy *bench, struct lazy_measurement *m)
{
    uint64_t end_ns = clock_now_ns() + CONVERGENCE_LIMIT_NS;

    current = bench;
    if (!bench_load_start(run_and_yield)) {
        console_print("bench lazy: no memory for threads on all CPUs\n");
        return false;
    }
    do {
        run_and_yield();
        lazy_call_statistics(bench->lazy, &m->calls);
    } while (m->calls.patched < bench->sites && clock_now_ns() < end_ns);
    bench_load_stop();
    lazy_call_statistics(bench->lazy, &m->calls);
    if (m->calls.patched != bench->sites) {
        console_print("bench lazy: %u of %u sites are patched after %llu s\n", m->calls.patched,
                      bench->sites, CONVERGENCE_LIMIT_NS / 1000000000ull);
    }
    return m->calls.patched == bench->sites;
}

static bool measure_converge(const struct bench_lazy *bench, struct lazy_measurement *m)
{
    uint64_t first = patch_record_newest() + 1;
    bool done = converge(bench, m);

    batches_add(m, first, bench->lazy->name);
    m->time_ns = m->calls.converged_ns; /* not only the batches: waiting for the worker, too */
    return done;
}

static bool measure_update(const struct bench_lazy *bench, struct lazy_measurement *m)
{
    uint64_t first = patch_record_newest() + 1;
    bool done = lazy_call_set(bench->lazy, (lazy_call_function *)bench_lazy_new, NULL) == PATCH_OK;

    batches_add(m, first, bench->lazy->name);
    return done && bench->run() == bench->sites * BENCH_LAZY_NEW_ONE;
}

static bool measure_static(const struct bench_lazy *bench, struct lazy_measurement *m)
{
    uint64_t first = patch_record_newest() + 1;
    bool done =
        static_call_set(bench->eager, (static_call_function *)bench_lazy_new, NULL) == PATCH_OK;

    batches_add(m, first, bench->eager->name);
    return done && bench->run_eager() == bench->sites * BENCH_LAZY_NEW_ONE;
}

static void row_print(struct table *table, const char *form, uint32_t sites,
                      const struct lazy_measurement *m)
{
    table_row(table);
    table_text(table, "form", 14, form);
    table_number(table, "sites", 5, sites);
    table_number(table, "cpus", 4, cpu_count());
    table_number(table, "batches", 7, m->batches);
    table_number(table, "rounds", 6, m->rounds);
    table_number(table, "ipis", 5, m->ipis);
    table_number(table, "slow_calls", 10, m->calls.slow_calls);
    table_number(table, "reported", 8, m->calls.reported);
    table_number(table, "overflowed", 10, m->calls.overflowed);
    table_time(table, "time_ns", 12, m->time_ns);
    table_end_row(table);
}

/* The three rows of one number of sites. @keep: the sites found stay so, for `calls` and `sites`.
 */
static bool rows_run(struct table *table, const struct bench_lazy *bench, bool keep)
{
    static const struct {
        const char *form;
        bool (*measure)(const struct bench_lazy *bench, struct lazy_measurement *m);
    } rows[] = {
        {"lazy converge", measure_converge},
        {"lazy update", measure_update},
        {"static update", measure_static},
    };
    bool done = bench_lazy_reset(bench) && bench_lazy_reset_eager(bench);

    for (size_t i = 0; i < ARRAY_COUNT(rows) && done; i++) {
        struct lazy_measurement m = {0};

        done = rows[i].measure(bench, &m);
        if (done) {
            row_print(table, rows[i].form, bench->sites, &m);
        }
    }
    if ((!keep && !bench_lazy_reset(bench)) || !bench_lazy_reset_eager(bench) || !done) {
        console_print("bench lazy: %u sites: a batch failed, or not every call went to its target; "
                      "`pokes` shows the batches\n",
                      bench->sites);
        return false;
    }
    return true;
}

static enum command_result bench_lazy_run(struct shell_session *session, int argc, char **argv)
{
    static struct table table;
    struct number_list sites = {.count = 3, .values = {1, 56, 256}};
    bool json = false;
    bool keep = false;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_NUMBER_LIST("--sites", &sites, 1, 256),
        OPTION_FLAG("--keep", &keep),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    for (size_t i = 0; i < sites.count; i++) {
        if (bench_lazy_find((uint32_t)sites.values[i]) == NULL) {
            console_print("bench lazy: --sites: %llu is not among the calls there are (allowed: 1, "
                          "56, 256)\n",
                          (unsigned long long)sites.values[i]);
            return COMMAND_USAGE;
        }
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    table_begin(&table, "bench.lazy", json);
    for (size_t i = 0; i < sites.count; i++) {
        if (!rows_run(&table, bench_lazy_find((uint32_t)sites.values[i]), keep)) {
            return COMMAND_FAILED;
        }
        if (shell_interrupted(session)) {
            console_print("bench lazy: stopped by Ctrl-C\n");
            return COMMAND_FAILED;
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_bench_lazy = {
    .name = "lazy",
    .summary = "call sites that become direct calls while all CPUs run through them",
    .usage = "bench lazy [--sites 1,56,256] [--keep] [-j]",
    .example = "bench lazy --sites 56",
    .details =
        "1, 56 and 256 sites, until all are direct calls; another target for those, and for as\n"
        "many that the linker listed. slow_calls: before their site was patched; time: from\n"
        "the first report to the last site patched, or of the one batch. --keep: the sites\n"
        "stay found: `sites bench_lazy_56` shows them.",
    .run = bench_lazy_run,
};
