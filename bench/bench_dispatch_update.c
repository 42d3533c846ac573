// SPDX-License-Identifier: MIT
/* `bench dispatch --updates N`: what it takes to bring a program into a dispatcher and out again,
 * while the other CPUs are idle, or call through it. Invariant: as bench_dispatch.h; rounds and
 * IPIs are those of all CPUs' counters, the writing of the image included. Called by:
 * bench_dispatch.c.
 */
#include "arch/clock.h"
#include "arch/percpu.h"
#include "bench/bench.h"
#include "bench/bench_dispatch.h"
#include "bench/bench_dispatch_state.h"
#include "kernel/console.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "patching/histogram.h"

#define CALLS_A_ROUND 64 /* of the load, between two checkpoints */

/* One kind of change, by the shell's thread: one bench at a time. */
static struct change {
    struct histogram ns;
    uint64_t ipis, grace_periods;
} additions, removals;

static uint8_t load_numbers[DISPATCH_SEQUENCE];

/* Calls by all other CPUs, of those programs that stay. Not the loops of the bench, which are for
 * one thread at a time. */
static uint32_t load_work(void)
{
    uint32_t sum = 0;

    for (unsigned i = 0; i < CALLS_A_ROUND; i++) {
        const struct xdp_program *program = dispatch_program(load_numbers[i]);

        sum += xdp_call(bench, program, NULL);
    }
    return sum;
}

static uint64_t grace_periods(void)
{
    static struct dispatcher_view view;

    xdp_call_stats(bench, &view);
    return view.statistics.grace_periods;
}

/* Makes the dispatcher @entries long, and notes what that took. */
static bool change_once(struct dispatch_state *state, struct change *change, uint32_t entries)
{
    uint64_t ipis = bench_sync_ipis_sent(), periods = grace_periods(), start_ns = clock_now_ns();

    if (!dispatch_state_fill(state, entries)) {
        return false;
    }
    histogram_add(&change->ns, clock_now_ns() - start_ns);
    change->ipis += bench_sync_ipis_sent() - ipis;
    change->grace_periods += grace_periods() - periods;
    return true;
}

static void row_print(struct table *table, const char *name, uint32_t entries, enum bench_load load,
                      const struct change *change)
{
    uint64_t n = change->ns.count;

    table_row(table);
    table_text(table, "change", 6, name);
    table_number(table, "entries", 7, entries);
    table_text(table, "load", 4, bench_load_names[load]);
    table_number(table, "cpus", 4, cpu_count());
    table_number(table, "n", 6, n);
    table_thousandths(table, "ipis", 8, (int64_t)(change->ipis * 1000 / n));
    table_thousandths(table, "grace_periods", 8, (int64_t)(change->grace_periods * 1000 / n));
    table_time(table, "min_ns", 9, change->ns.minimum);
    table_time(table, "p50_ns", 9, histogram_quantile(&change->ns, 500));
    table_time(table, "p99_ns", 9, histogram_quantile(&change->ns, 990));
    table_time(table, "max_ns", 9, change->ns.maximum);
    table_end_row(table);
}

static bool updates_make(struct shell_session *session, struct dispatch_state *state,
                         uint32_t entries, uint64_t updates)
{
    histogram_reset(&additions.ns);
    histogram_reset(&removals.ns);
    additions.ipis = removals.ipis = 0;
    additions.grace_periods = removals.grace_periods = 0;
    for (uint64_t i = 0; i < updates; i++) {
        if (!change_once(state, &additions, entries + 1) ||
            !change_once(state, &removals, entries)) {
            return false;
        }
        if (shell_interrupted(session)) {
            console_print("%s: stopped by Ctrl-C\n", state->command);
            return false;
        }
    }
    return true;
}

static bool load_run(struct shell_session *session, struct table *table,
                     struct dispatch_state *state, uint32_t entries, enum bench_load load,
                     uint64_t updates)
{
    bool done;

    if (load == BENCH_LOAD_BUSY && !bench_load_start(load_work)) {
        console_print("%s: no memory for threads on the other CPUs\n", state->command);
        return false;
    }
    done = updates_make(session, state, entries, updates);
    if (load == BENCH_LOAD_BUSY) {
        bench_load_stop();
    }
    if (done) {
        row_print(table, "add", entries, load, &additions);
        row_print(table, "remove", entries, load, &removals);
    }
    return done;
}

bool dispatch_updates_run(struct shell_session *session, struct dispatch_state *state,
                          uint32_t entries, uint64_t updates, struct table *table)
{
    if (!dispatch_state_fill(state, entries)) {
        return false;
    }
    memset(load_numbers, 0, sizeof(load_numbers));
    if (entries != 0) {
        dispatch_traffic_generate(DISPATCH_TRAFFIC_RANDOM, entries, load_numbers);
    }
    return load_run(session, table, state, entries, BENCH_LOAD_IDLE, updates) &&
           (cpu_count() == 1 || load_run(session, table, state, entries, BENCH_LOAD_BUSY, updates));
}
