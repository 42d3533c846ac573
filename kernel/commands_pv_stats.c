// SPDX-License-Identifier: MIT
/* `pv stats` and `pv locks`: what the layer `counted` has counted. Invariant: a row says what was
 * counted, whether or not it still is; without anything to show they say how to begin. Called by:
 * commands_pv.c. */
#include "arch/clock.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/lock_halt.h"
#include "kernel/options.h"
#include "kernel/paravirt_counted.h"
#include "kernel/paravirt_switch.h"
#include "kernel/pv_command.h"
#include "kernel/string.h"
#include "kernel/table.h"

#define ALL_CPUS      CPU_MAX
#define LOCKS_DEFAULT 20

static bool is_anything_counted(void)
{
    bool any = false;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        any = any || paravirt_is_counted(op);
    }
    return any;
}

/* Says so if nothing is counted at present; returns whether there are counts to show. */
static bool counts_announce(const char *command)
{
    bool has_memory = paravirt_counted_has_memory();

    if (!is_anything_counted()) {
        console_print("%s: nothing is counted%s; first: pv backend counted\n", command,
                      has_memory ? " any more, this was before" : "");
    }
    return has_memory;
}

/* --clear: counts of ops and locks begin together, or shares could not be compared. */
static enum command_result counts_clear(const char *command, bool json)
{
    paravirt_counted_clear();
    if (!json) {
        console_print("%s: all counts, of ops and of locks, begin at 0\n", command);
    }
    return COMMAND_OK;
}

/* ---- pv stats ---- */

/* Whether @name is that of @op or of its group. */
static bool is_called(enum paravirt_op_id op, const char *name)
{
    const char *group = paravirt_ops[op].group;

    return strcmp(paravirt_ops[op].name, name) == 0 || (group != NULL && strcmp(group, name) == 0);
}

/* Says so if nothing is called @name. */
static bool name_is_known(const char *name)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (is_called(op, name)) {
            return true;
        }
    }
    console_print("pv stats: there is no op or group '%s': pv lists them\n", name);
    return false;
}

static void quantile_cell(struct table *table, const char *name, const struct histogram *times,
                          uint64_t ticks)
{
    table_time_or_none(table, name, 9, times->count != 0, clock_ticks_to_ns(ticks));
}

/* What @op did on one CPU, or on all. */
static void stats_row(struct table *table, enum paravirt_op_id op, unsigned cpu)
{
    unsigned first = cpu == ALL_CPUS ? 0 : cpu;
    unsigned end = cpu == ALL_CPUS ? cpu_present_count() : cpu + 1;
    struct paravirt_counts counts = {0};
    const struct histogram *times = &counts.times;

    paravirt_counted_add(op, first, end, &counts);
    table_row(table);
    table_text(table, "op", 15, paravirt_ops[op].name);
    if (cpu == ALL_CPUS) {
        table_text(table, "cpu", 5, "total");
    } else {
        table_number(table, "cpu", 5, cpu);
    }
    table_bool(table, "counted", 7, paravirt_is_counted(op));
    table_number(table, "n", 10, times->count);
    table_time(table, "total_ns", 14, clock_ticks_to_ns(counts.ticks));
    quantile_cell(table, "min_ns", times, times->minimum);
    quantile_cell(table, "p50_ns", times, histogram_quantile(times, 500));
    quantile_cell(table, "p99_ns", times, histogram_quantile(times, 990));
    quantile_cell(table, "max_ns", times, times->maximum);
    table_end_row(table);
}

enum command_result pv_stats_run(int argc, char **argv)
{
    bool json = false;
    bool clear = false;
    const struct option options[] = {OPTION_JSON(&json), OPTION_FLAG("--clear", &clear)};
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc > 1 && !name_is_known(argv[1])) {
        return COMMAND_FAILED;
    }
    if (clear) {
        return counts_clear(argv[0], json);
    }
    if (!counts_announce(argv[0])) {
        return COMMAND_FAILED;
    }
    table_begin(&table, "pv.stats", json);
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        bool is_named = argc > 1 && is_called(op, argv[1]);

        for (unsigned cpu = 0; is_named && cpu < cpu_present_count(); cpu++) {
            stats_row(&table, op, cpu);
        }
        if (argc == 1 || is_named) {
            stats_row(&table, op, ALL_CPUS);
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

/* ---- pv locks ---- */

static void lock_row(struct table *table, const struct paravirt_lock_counts *lock)
{
    table_row(table);
    table_text(table, "name", 22, lock->name);
    table_number(table, "taken", 10, lock->taken);
    table_number(table, "contended", 9, lock->contended);
    table_time(table, "waited_ns", 14, clock_ticks_to_ns(lock->waited_ticks));
    table_time(table, "max_wait_ns", 11, clock_ticks_to_ns(lock->longest_ticks));
    table_end_row(table);
}

static void halts_row(struct table *table, unsigned cpu, struct lock_halt_counts counts)
{
    table_row(table);
    if (cpu == ALL_CPUS) {
        table_text(table, "cpu", 5, "total");
    } else {
        table_number(table, "cpu", 5, cpu);
    }
    table_number(table, "halts", 8, counts.halts);
    table_number(table, "kicks", 8, counts.kicks);
    table_end_row(table);
}

/* How often a CPU halted for a lock, and kicked another one that had, since boot, by whatever
 * backend: not the layer's. */
static void halts_print(bool json)
{
    struct lock_halt_counts total = {0};
    struct table table;

    table_begin(&table, "pv.halts", json);
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct lock_halt_counts counts = lock_halt_counts(cpu);

        if (counts.halts != 0 || counts.kicks != 0) {
            halts_row(&table, cpu, counts);
        }
        total.halts += counts.halts;
        total.kicks += counts.kicks;
    }
    halts_row(&table, ALL_CPUS, total);
    table_end(&table);
}

enum command_result pv_locks_run(int argc, char **argv)
{
    static struct paravirt_lock_counts rows[PARAVIRT_LOCK_ROWS]; /* there is one shell */
    bool json = false;
    bool clear = false;
    uint64_t most = LOCKS_DEFAULT;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_FLAG("--clear", &clear),
        OPTION_NUMBER("-n", &most, 1, PARAVIRT_LOCK_ROWS),
    };
    struct table table;
    unsigned count;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (clear) {
        return counts_clear(argv[0], json);
    }
    if (!counts_announce(argv[0])) {
        return COMMAND_FAILED;
    }
    count = paravirt_counted_locks(rows);
    table_begin(&table, "pv.locks", json);
    for (unsigned i = 0; i < count && i < most; i++) {
        lock_row(&table, &rows[i]);
    }
    table_end(&table);
    if (!json && count > most) {
        console_print("%s: the first %llu of %u names; more: -n %u\n", argv[0],
                      (unsigned long long)most, count, count);
    }
    halts_print(json);
    return COMMAND_OK;
}
