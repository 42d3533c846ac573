// SPDX-License-Identifier: MIT
/* `bench calls`: what one call costs in each form, in one table. The engine is
 * bench_call_measure.c. */
#include "bench/bench.h"
#include "bench/bench_calls.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/table.h"

#define DEFAULT_CALLS 100000
#define SETTING_BUDGET_NS                                                                          \
    2000000000ull /* unless --calls was given: emulators may take 20 us a call */

static void count_print(struct table *table, const char *name, bool is_known, uint64_t count)
{
    if (is_known) {
        table_number(table, name, 0, count);
    } else {
        table_none(table, name, 0);
    }
}

static void result_print(struct table *table, const struct call_form *form,
                         const struct call_result *result)
{
    const struct call_counts *counts = &result->counts;

    table_row(table);
    table_text(table, "form", 11, form->name);
    if (result->mitigation != NULL) {
        table_text(table, "mitigation", 10, result->mitigation);
    } else {
        table_none(table, "mitigation", 10);
    }
    count_print(table, "instructions", counts->is_known, counts->instructions);
    count_print(table, "bytes", counts->is_known, counts->bytes);
    count_print(table, "branches", counts->is_known, counts->branches);
    table_thousandths(table, "ns", 9, result->times.p50_ps);
    bench_times_print(table, &result->times);
    table_end_row(table);
}

static enum command_result bench_calls_run(struct shell_session *session, int argc, char **argv)
{
    static struct call_result results[CALL_FORM_COUNT];
    uint64_t calls = 0;
    bool json = false;
    const struct option options[] = {
        OPTION_NUMBER("--calls", &calls, 1, CALL_BLOCK * CALL_BLOCKS_MAX),
        OPTION_JSON(&json),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    uint64_t wanted = calls != 0 ? calls : DEFAULT_CALLS;
    const struct call_request request = {
        .command = "bench calls",
        .end = CALL_FORM_COUNT,
        .blocks = (uint32_t)((wanted + CALL_BLOCK - 1) / CALL_BLOCK),
        .budget_ns = calls == 0 ? SETTING_BUDGET_NS : 0,
    };

    if (call_forms_measure(session, &request, results) != COMMAND_OK) {
        return COMMAND_FAILED;
    }
    struct table table;

    table_begin(&table, "bench.call", json);
    for (enum call_form_id id = 0; id < CALL_FORM_COUNT; id++) {
        result_print(&table, &call_forms[id], &results[id]);
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_bench_calls = {
    .name = "calls",
    .summary = "what one call costs in each form, counted and timed",
    .usage = "bench calls [--calls N] [-j]",
    .example = "bench calls --calls 10000",
    .details =
        "The loop around a call is subtracted. ns: the median of blocks of 1000 calls, min to\n"
        "max of the same blocks; --calls: how many in all, up to 1000000; without it 100000,\n"
        "or 2 s. instructions, bytes, branches: executed by one call, counted in single steps;\n"
        "exact, or \"-\" where a step was lost (a KVM that emulates). nothing: the loop\n"
        "against itself, what noise there is. wrapper: a function that calls the target and\n"
        "returns. indirect: call *register; thunk: what compilers make of it, under each\n"
        "mitigation, switched for the purpose. lazy-first: the first call of a site, one a\n"
        "block. untraced: the target has the tracer's nop; traced: each call is recorded, in\n"
        "rings of its own.",
    .run = bench_calls_run,
};
