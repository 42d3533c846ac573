// SPDX-License-Identifier: MIT
/* `bench pv`: what each paravirt op costs in each form, beside the native instruction built in; and
 * with --switch, what it costs to change them. The engines are bench_pv_measure.c and
 * bench_pv_switch.c. Invariant: as in bench_pv.h. */
#include "arch/paravirt.h"
#include "bench/bench.h"
#include "bench/bench_pv.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/table.h"

#define DEFAULT_BUDGET_NS 3000000000ull /* unless --calls was given */
#define DEFAULT_SWITCHES  20

static const char *const *row_names(void)
{
    static const char *names[PV_LOOP_COUNT + 1]; /* the last one stays NULL */

    for (unsigned row = 0; row < PV_LOOP_COUNT; row++) {
        names[row] = pv_loops[row].name;
    }
    return names;
}

/* "native", or the first way of the row that is none. */
static const char *way_name(const struct pv_loop_row *row)
{
    for (unsigned i = 0; i < row->op_count; i++) {
        const struct paravirt_way *way =
            __atomic_load_n(&paravirt_ops[row->ops[i]].way, __ATOMIC_RELAXED);

        if (way != paravirt_native_ways[row->ops[i]]) {
            return way->name;
        }
    }
    return "native";
}

static void counts_print(struct table *table, const struct pv_result *result,
                         const struct pv_result *native)
{
    if (!result->counts.is_known) {
        table_none(table, "instructions", 0);
        table_none(table, "bytes", 0);
        table_none(table, "over_native", 0);
        return;
    }
    table_number(table, "instructions", 0, result->counts.instructions);
    table_number(table, "bytes", 0, result->counts.bytes);
    if (native->counts.is_known) {
        table_signed(table, "over_native", 0,
                     (int64_t)(result->counts.instructions - native->counts.instructions));
    } else {
        table_none(table, "over_native", 0);
    }
}

static void result_print(struct table *table, unsigned row, enum pv_column column,
                         const struct pv_result *results)
{
    const struct pv_result *result = &results[column];

    table_row(table);
    table_text(table, "op", 18, pv_loops[row].name);
    table_text(table, "form", 11, pv_column_name(column));
    table_text(table, "way", 6, column == PV_NATIVE ? "native" : way_name(&pv_loops[row]));
    table_number(table, "sites", 5, column == PV_NATIVE ? 0 : pv_loops[row].op_count);
    table_number(table, "code_bytes", 0, result->code_bytes);
    counts_print(table, result, &results[PV_NATIVE]);
    table_thousandths(table, "ns", 9, result->times.p50_ps);
    bench_times_print(table, &result->times);
    table_end_row(table);
}

static enum command_result ops_run(struct shell_session *session, const struct pv_request *request,
                                   bool json)
{
    static struct pv_result results[PV_LOOP_COUNT][PV_COLUMN_COUNT];
    static const enum pv_column order[] = {PV_NATIVE, PV_INDIRECT, PV_DIRECT, PV_INLINE};
    struct table table;

    if (!pv_measure(session, request, results)) {
        return COMMAND_FAILED;
    }
    table_begin(&table, "bench.pv", json);
    for (unsigned row = 0; row < PV_LOOP_COUNT; row++) {
        for (unsigned i = 0; (request->rows & 1u << row) != 0 && i < ARRAY_COUNT(order); i++) {
            result_print(&table, row, order[i], results[row]);
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

/* All of @names, if none was named. */
static unsigned set_of(const struct number_list *list, unsigned all)
{
    unsigned set = 0;

    for (size_t i = 0; i < list->count; i++) {
        set |= 1u << list->values[i];
    }
    return set != 0 ? set : (1u << all) - 1;
}

static enum command_result bench_pv_run(struct shell_session *session, int argc, char **argv)
{
    static struct number_list rows, loads; /* too large for the stack */
    uint64_t calls = 0, switches = DEFAULT_SWITCHES;
    bool json = false, is_switch = false;
    const struct option options[] = {
        OPTION_NUMBER("--calls", &calls, 1, PV_BLOCK * PV_BLOCKS_MAX),
        OPTION_CHOICE_LIST("--op", &rows, row_names()),
        OPTION_FLAG("--switch", &is_switch),
        OPTION_NUMBER("-n", &switches, 1, 100000),
        OPTION_CHOICE_LIST("--load", &loads, bench_load_names),
        OPTION_JSON(&json),
    };

    rows.count = loads.count = 0;
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    if (is_switch) {
        return bench_pv_switch_run(session, set_of(&loads, BENCH_LOAD_BUSY + 1), switches, json);
    }
    const struct pv_request request = {
        .command = "bench pv",
        .rows = set_of(&rows, PV_LOOP_COUNT),
        .blocks = calls == 0 ? PV_BLOCKS_MAX : (uint32_t)((calls + PV_BLOCK - 1) / PV_BLOCK),
        .budget_ns = calls == 0 ? DEFAULT_BUDGET_NS : 0,
    };

    return ops_run(session, &request, json);
}

const struct shell_command command_bench_pv = {
    .name = "pv",
    .summary = "paravirt ops in each form beside native instructions; switches of all",
    .usage = "bench pv [--op LIST] [--calls N] [-j]\n"
             "         bench pv --switch [--load idle,busy] [-n N] [-j]",
    .example = "bench pv --op eoi,irq-save-restore",
    .details =
        "Ops in one loop, patched to each form between blocks of 1000, beside a native copy:\n"
        "the same loop with the instructions built in. code_bytes: of the ops where they are\n"
        "called; bytes: executed; over_native: instructions more than the copy: indirect and\n"
        "direct 2 a site (call, ret); irq_save 4, for its function moves its return address.\n"
        "Ops go the way they go: after `pv backend NAME`, that backend's. --switch: all ops to\n"
        "another form and to another backend, N times (20), others idle, then busy with one\n"
        "lock; sites, rounds and ipis: of the batch of one switch.",
    .run = bench_pv_run,
};
