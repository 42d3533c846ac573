// SPDX-License-Identifier: MIT
/* `bench dispatch`: entries x traffic x shape, one row each, printed as it is measured. Invariant:
 * see bench_dispatch.h. Called by: bench.c. */
#include "bench/bench_dispatch.h"
#include "bench/bench.h"
#include "bench/bench_dispatch_state.h"
#include "bench/bench_ways.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "patching/indirect_thunk.h"

#define ROW_BUDGET_NS   15000000ull /* unless --calls was given */
#define CHOICE_BLOCK    64u
#define ROW_BLOCKS      100
#define SHAPE_AUTO      DISPATCHER_SHAPE_COUNT
#define SHAPES          (DISPATCHER_SHAPE_COUNT + 1)
#define WAYS_DISPATCHED (1u << BENCH_WAY_THUNK | 1u << BENCH_WAY_BENCHED)

#define UPDATES_MAX 1000000

/* What is asked for, and where the bench is. */
struct bench_dispatch {
    struct shell_session *session;
    struct bench_ways_request request;
    struct dispatch_state state;
    const struct number_list *entries, *shapes, *traffics;
    uint64_t updates; /* 0: rows are calls, not updates */
    struct table table;
    uint8_t numbers[DISPATCH_SEQUENCE];
    uint8_t hottest[DISPATCHER_ENTRY_MAX];
};

struct row {
    uint32_t entries;
    enum dispatch_traffic traffic;
    const char *shape;
    const char *chosen; /* NULL: nothing was to be chosen */
};

static void row_print(struct table *table, const struct row *row,
                      const struct bench_way_result *result, const struct bench_way_result *thunk)
{
    table_row(table);
    table_number(table, "entries", 7, row->entries);
    table_text(table, "shape", 11, row->shape);
    table_text(table, "traffic", 11, dispatch_traffic_name(row->traffic));
    table_text(table, "mitigation", 10, mitigation_name(mitigation_current()));
    if (row->chosen != NULL) {
        table_text(table, "chosen", 11, row->chosen);
    } else {
        table_none(table, "chosen", 11);
    }
    bench_way_print(table, result, thunk);
    table_end_row(table);
}

static const char *const *shape_names(void)
{
    static const char *names[SHAPES + 1];

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        names[shape] = dispatcher_shape_name(shape);
    }
    names[SHAPE_AUTO] = "auto";
    return names;
}

static const char *const *traffic_names(void)
{
    static const char *names[DISPATCH_TRAFFIC_COUNT + 1];

    for (enum dispatch_traffic traffic = 0; traffic < DISPATCH_TRAFFIC_COUNT; traffic++) {
        names[traffic] = dispatch_traffic_name(traffic);
    }
    return names;
}

/* Calls between two looks at whether something is due for a choice. */
static bool calls_drive(void *context)
{
    (void)context;
    dispatch_loop_dispatched(CHOICE_BLOCK);
    return true;
}

/* Gives the dispatcher the shape that @row names. */
static bool shape_make(struct bench_dispatch *bench, enum dispatcher_shape shape, struct row *row)
{
    row->shape = shape_names()[shape];
    if (shape != SHAPE_AUTO) {
        return dispatch_state_form(&bench->state, shape, bench->hottest, row->entries);
    }
    bool done = dispatch_state_choose(&bench->state, bench->session, calls_drive, NULL, &shape);

    if (!done && shell_interrupted(bench->session)) {
        console_print("%s: stopped by Ctrl-C\n", bench->request.command);
    }
    row->chosen = dispatcher_shape_name(shape);
    return done;
}

/* One shape; if it is the first one of its traffic, with the ways it is compared with. */
static bool shape_run(struct bench_dispatch *bench, enum dispatcher_shape shape, struct row row,
                      bool is_first)
{
    struct bench_way_result results[BENCH_WAYS];
    bool is_constant = dispatch_traffic_is_constant(row.traffic, row.entries);
    unsigned ways = WAYS_DISPATCHED;

    if (is_first) {
        ways |= 1u << BENCH_WAY_INDIRECT | (is_constant ? 1u << BENCH_WAY_DIRECT : 0);
    }
    if (!shape_make(bench, shape, &row) ||
        !bench_ways_measure(bench->session, &bench->request, ways, bench->numbers, results)) {
        return false;
    }
    for (enum bench_way way = BENCH_WAY_DIRECT; is_first && way < BENCH_WAY_BENCHED; way++) {
        const struct row other = {row.entries, row.traffic, bench_way_name(way), NULL};

        if ((ways & 1u << way) != 0) {
            row_print(&bench->table, &other, &results[way], &results[BENCH_WAY_THUNK]);
        }
    }
    row_print(&bench->table, &row, &results[BENCH_WAY_BENCHED], &results[BENCH_WAY_THUNK]);
    return true;
}

static bool traffic_run(struct bench_dispatch *bench, uint32_t entries,
                        enum dispatch_traffic traffic)
{
    const struct row row = {.entries = entries, .traffic = traffic};

    dispatch_traffic_generate(traffic, entries, bench->numbers);
    dispatch_traffic_hottest(bench->numbers, entries, bench->hottest);
    dispatch_loops_set(bench->numbers);
    if (entries == 0) { /* whatever the shape, the fallback is all there is */
        return shape_run(bench, DISPATCHER_NONE, row, true);
    }
    for (size_t i = 0; i < bench->shapes->count; i++) {
        if (!shape_run(bench, (enum dispatcher_shape)bench->shapes->values[i], row, i == 0)) {
            return false;
        }
    }
    return true;
}

/* Without an entry all traffic is the same: misses. */
static bool entries_run(struct bench_dispatch *bench, uint32_t entries)
{
    if (bench->updates != 0) {
        return dispatch_updates_run(bench->session, &bench->state, entries, bench->updates,
                                    &bench->table);
    }
    if (!dispatch_state_fill(&bench->state, entries)) {
        return false;
    }
    if (entries == 0) {
        return traffic_run(bench, 0, DISPATCH_TRAFFIC_MISS);
    }
    for (size_t i = 0; i < bench->traffics->count; i++) {
        if (!traffic_run(bench, entries, (enum dispatch_traffic)bench->traffics->values[i])) {
            return false;
        }
    }
    return true;
}

static enum command_result rows_run(struct bench_dispatch *bench, bool json)
{
    if (!dispatch_state_begin(&bench->state, bench->request.command, &dispatcher_bench)) {
        return COMMAND_FAILED;
    }
    bool done = true;

    table_begin(&bench->table, bench->updates != 0 ? "bench.dispatch.update" : "bench.dispatch",
                json);
    for (size_t i = 0; i < bench->entries->count && done; i++) {
        done = entries_run(bench, (uint32_t)bench->entries->values[i]);
    }
    table_end(&bench->table);
    return dispatch_state_end(&bench->state) && done ? COMMAND_OK : COMMAND_FAILED;
}

/* Updates are not calls: what is said of calls would be ignored. */
static bool updates_have_no_calls(const struct number_list *shapes,
                                  const struct number_list *traffics, uint64_t calls)
{
    const char *wrong = NULL;

    if (shapes->count != 0) {
        wrong = "--shape";
    } else if (traffics->count != 0) {
        wrong = "--traffic";
    } else if (calls != 0) {
        wrong = "--calls";
    }
    if (wrong != NULL) {
        console_print("bench dispatch: %s does not go with --updates, which is about no calls\n",
                      wrong);
    }
    return wrong == NULL;
}

/* An update adds one to what is there. */
static bool updates_have_room(const struct number_list *entries)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->values[i] == DISPATCHER_ENTRY_MAX) {
            console_print("bench dispatch: --updates adds one more to --entries: %u at most\n",
                          DISPATCHER_ENTRY_MAX - 1);
            return false;
        }
    }
    return true;
}

static enum command_result bench_dispatch_run(struct shell_session *session, int argc, char **argv)
{
    static struct bench_dispatch bench; /* one bench at a time: the shell's */
    static struct number_list entries, shapes, traffics;
    uint64_t calls = 0, updates = 0;
    bool json = false;
    const struct option options[] = {
        OPTION_NUMBER_LIST("--entries", &entries, 0, DISPATCHER_ENTRY_MAX),
        OPTION_CHOICE_LIST("--shape", &shapes, shape_names()),
        OPTION_CHOICE_LIST("--traffic", &traffics, traffic_names()),
        OPTION_NUMBER("--calls", &calls, 1, BENCH_WAYS_BLOCK * BENCH_WAYS_BLOCKS_MAX),
        OPTION_NUMBER("--updates", &updates, 1, UPDATES_MAX),
        OPTION_JSON(&json),
    };

    entries = shapes = traffics = (struct number_list){0};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0])) {
        return COMMAND_FAILED;
    }
    if (entries.count == 0) {
        entries = updates == 0 ? (struct number_list){8, {0, 1, 2, 4, 8, 16, 32, 64}}
                               : (struct number_list){4, {0, 1, 16, 63}};
    }
    if (updates != 0 &&
        !(updates_have_no_calls(&shapes, &traffics, calls) && updates_have_room(&entries))) {
        return COMMAND_FAILED;
    }
    if (shapes.count == 0) {
        shapes = (struct number_list){SHAPES, {0, 1, 2, 3, 4, 5, 6, 7}};
    }
    if (traffics.count == 0) {
        traffics = (struct number_list){DISPATCH_TRAFFIC_COUNT, {0, 1, 2, 3, 4, 5, 6}};
    }
    memset(&bench, 0, sizeof(bench));
    bench.updates = updates;
    bench.session = session;
    bench.entries = &entries;
    bench.shapes = &shapes;
    bench.traffics = &traffics;
    bench.request = (struct bench_ways_request){
        .command = "bench dispatch",
        .blocks =
            calls != 0 ? (uint32_t)((calls + BENCH_WAYS_BLOCK - 1) / BENCH_WAYS_BLOCK) : ROW_BLOCKS,
        .budget_ns = calls == 0 ? ROW_BUDGET_NS : 0,
        .benched = dispatch_loop_dispatched,
    };
    return rows_run(&bench, json);
}
_Static_assert(SHAPES == 8 && DISPATCH_TRAFFIC_COUNT == 7, "the default lists say so");

const struct shell_command command_bench_dispatch = {
    .name = "dispatch",
    .summary = "calls of one of many programs through a dispatcher; its updates",
    .usage = "bench dispatch [--entries LIST] [--shape LIST] [--traffic LIST] [--calls N] "
             "[-j]\n"
             "         bench dispatch --updates N [--entries LIST] [-j]",
    .example = "bench dispatch --entries 0,64 --traffic zipf,miss",
    .details =
        "By entries (0 to 64) of the dispatcher, shape and traffic; direct, indirect and the\n"
        "compiler's thunk in the same rounds: thunk_ns, for each row. instructions: exact, on\n"
        "average over the traffic. burst: 95 % as before; zipf: the k-th by 1/k; miss: of a\n"
        "program that is no entry. auto: what it has chosen. --updates: a program comes into a\n"
        "dispatcher of so many entries and goes again, N times, while the other CPUs are idle,\n"
        "then busy with calls; removals wait for a grace period.",
    .run = bench_dispatch_run,
};
