// SPDX-License-Identifier: MIT
/* `bench dyncall`: sequence x way x form x slots, one row each, printed as it is measured.
 * Invariant: see bench_dyncall.h. Called by: bench.c. */
#include "bench/bench_dyncall.h"

#include "bench/bench.h"
#include "bench/bench_ways.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/string.h"
#include "patching/indirect_thunk.h"

#define ROW_BUDGET_NS      15000000ull /* unless --calls was given */
#define ROW_BLOCKS         100
#define SIZE_USUAL         1 /* of dyncall_sizes: 2 slots, unless --slots names others */
#define SETTLE_PATIENCE_NS 30000000000ull
#define WAYS_DYNAMIC       (1u << BENCH_WAY_THUNK | 1u << BENCH_WAY_BENCHED)

/* What is made of a dynamic call. */
enum dyncall_way {
    DYNCALL_PINNED,                        /* the hottest targets in its slots */
    DYNCALL_OFF,                           /* gate closed */
    DYNCALL_AUTO,                          /* what it has learnt */
    DYNCALL_USUAL_WAYS,                    /* those above, unless --way names some */
    DYNCALL_LEARNING = DYNCALL_USUAL_WAYS, /* off, and watched: every call counted */
    DYNCALL_WATCHED,                       /* pinned, and watched: misses counted */
    DYNCALL_WAYS
};

static const char *const way_names[] = {
    [DYNCALL_PINNED] = "pinned",     [DYNCALL_OFF] = "off",         [DYNCALL_AUTO] = "auto",
    [DYNCALL_LEARNING] = "learning", [DYNCALL_WATCHED] = "watched", [DYNCALL_WAYS] = NULL,
};

/* What is asked for, and where the bench is. */
struct bench_dyncall {
    struct shell_session *session;
    struct bench_ways_request request;
    struct dyncall_state state;
    struct number_list sequences, ways, forms, sizes;
    bool is_learning; /* rows are of learning, not of calls */
    struct table table;
    uint8_t numbers[DISPATCH_SEQUENCE];
    struct dynamic_targets hottest;
};

struct row {
    enum dyncall_sequence sequence;
    const char *way;
    const char *form; /* NULL: nothing is compared */
    uint32_t slots;   /* 0: none */
    bool has_chosen;  /* the next one is valid: */
    uint32_t chosen;  /* slots that learning fills */
};

static void row_print(struct table *table, const struct row *row,
                      const struct bench_way_result *result, const struct bench_way_result *thunk)
{
    table_row(table);
    table_text(table, "sequence", 13, dyncall_sequence_name(row->sequence));
    table_text(table, "way", 9, row->way);
    if (row->form != NULL) {
        table_text(table, "form", 4, row->form);
    } else {
        table_none(table, "form", 4);
    }
    if (row->slots != 0) {
        table_number(table, "slots", 5, row->slots);
    } else {
        table_none(table, "slots", 5);
    }
    if (row->has_chosen) {
        table_number(table, "chosen", 6, row->chosen);
    } else {
        table_none(table, "chosen", 6);
    }
    table_text(table, "mitigation", 10, mitigation_name(mitigation_current()));
    bench_way_print(table, result, thunk);
    table_end_row(table);
}

static struct dynamic_targets targets_first(const struct dynamic_targets *hottest, uint32_t slots)
{
    struct dynamic_targets targets = {0};

    memcpy(targets.slot, hottest->slot, slots * sizeof(targets.slot[0]));
    return targets;
}

/* The slice of an epoch that is counted is over. Relaxed: it says nothing else. */
static bool is_not_counting(void *call)
{
    return !__atomic_load_n(&((struct dynamic_call *)call)->is_counting, __ATOMIC_RELAXED);
}

static bool choice_make(struct bench_dyncall *bench, enum dynamic_compare compare,
                        const struct dyncall_size *size, struct row *row)
{
    const struct dynamic_call_form closed = {.compare = compare};
    struct dynamic_call_view view;

    if (!dyncall_state_form(&bench->state, size, &closed) ||
        !dyncall_state_learn(&bench->state, size, true) ||
        !dyncall_state_drive(&bench->state, size, dyncall_state_is_settled, size->call,
                             SETTLE_PATIENCE_NS)) {
        return false;
    }
    if (!dyncall_state_is_settled(size->call)) {
        console_print("%s: %s: nothing was learnt in %llu s\n", bench->request.command,
                      size->call->name, SETTLE_PATIENCE_NS / 1000000000);
        return false;
    }
    if (!dyncall_state_drive(&bench->state, size, is_not_counting, size->call, DYNAMIC_EPOCH_NS)) {
        return false;
    }
    dynamic_call_look(size->call, &view);
    row->form = dynamic_compare_name(view.form.compare);
    row->has_chosen = true;
    while (view.form.is_open && row->chosen < DYNAMIC_SLOTS_MAX &&
           view.form.targets.slot[row->chosen] != 0) {
        row->chosen++;
    }
    return true;
}

/* Makes of the call what @row says. */
static bool way_make(struct bench_dyncall *bench, enum dyncall_way way,
                     enum dynamic_compare compare, const struct dyncall_size *size, struct row *row)
{
    struct dynamic_call_form form = {
        .compare = compare,
        .is_open = way == DYNCALL_PINNED || way == DYNCALL_WATCHED,
        .is_watched = way == DYNCALL_LEARNING || way == DYNCALL_WATCHED,
    };

    row->way = way_names[way];
    row->slots = size->call->slot_count;
    if (way == DYNCALL_AUTO) {
        return choice_make(bench, compare, size, row);
    }
    if (form.is_open) {
        row->form = dynamic_compare_name(compare);
        form.targets = targets_first(&bench->hottest, size->call->slot_count);
    }
    return dyncall_state_form(&bench->state, size, &form);
}

/* One way; if it is the first one of its sequence, with the ways it is compared with. */
static bool way_run(struct bench_dyncall *bench, enum dyncall_sequence sequence,
                    enum dyncall_way way, enum dynamic_compare compare,
                    const struct dyncall_size *size, bool is_first)
{
    struct bench_way_result results[BENCH_WAYS];
    struct row row = {.sequence = sequence};
    unsigned ways = WAYS_DYNAMIC;

    if (is_first) {
        ways |= 1u << BENCH_WAY_INDIRECT;
        ways |= sequence == DYNCALL_CONSTANT ? 1u << BENCH_WAY_DIRECT : 0;
    }
    bench->request.benched = size->loop;
    if (!way_make(bench, way, compare, size, &row) ||
        !bench_ways_measure(bench->session, &bench->request, ways, bench->numbers, results)) {
        return false;
    }
    for (enum bench_way other = BENCH_WAY_DIRECT; is_first && other < BENCH_WAY_BENCHED; other++) {
        const struct row plain = {.sequence = sequence, .way = bench_way_name(other)};

        if ((ways & 1u << other) != 0) {
            row_print(&bench->table, &plain, &results[other], &results[BENCH_WAY_THUNK]);
        }
    }
    row_print(&bench->table, &row, &results[BENCH_WAY_BENCHED], &results[BENCH_WAY_THUNK]);
    return way != DYNCALL_AUTO || dyncall_state_learn(&bench->state, size, false);
}

/* A way that compares nothing is the same in each form. */
static bool way_has_forms(enum dyncall_way way)
{
    return way == DYNCALL_PINNED || way == DYNCALL_WATCHED;
}

static bool size_run(struct bench_dyncall *bench, enum dyncall_sequence sequence,
                     const struct dyncall_size *size, bool *is_first)
{
    for (size_t i = 0; i < bench->ways.count; i++) {
        enum dyncall_way way = (enum dyncall_way)bench->ways.values[i];
        size_t forms = way_has_forms(way) ? bench->forms.count : 1;

        for (size_t form = 0; form < forms; form++) {
            if (!way_run(bench, sequence, way, (enum dynamic_compare)bench->forms.values[form],
                         size, *is_first)) {
                return false;
            }
            *is_first = false;
        }
    }
    return true;
}

static void sequence_prepare(struct bench_dyncall *bench, enum dyncall_sequence sequence)
{
    uint8_t hottest[DYNCALL_TARGETS_MAX];
    uint32_t targets = dyncall_sequence_targets(sequence);

    dyncall_sequence_generate(sequence, bench->numbers);
    dispatch_traffic_hottest(bench->numbers, targets, hottest);
    dispatch_loops_set(bench->numbers);
    bench->hottest = (struct dynamic_targets){0};
    for (uint32_t i = 0; i < targets && i < DYNAMIC_SLOTS_MAX; i++) {
        bench->hottest.slot[i] = dyncall_target(hottest[i]);
    }
}

static bool sequence_run(struct bench_dyncall *bench, enum dyncall_sequence sequence)
{
    bool is_first = true;

    sequence_prepare(bench, sequence);
    for (size_t i = 0; i < bench->sizes.count; i++) {
        const struct dyncall_size *size = &dyncall_sizes[bench->sizes.values[i]];

        if (bench->is_learning ? !dyncall_learning_run(&bench->state, size, sequence, &bench->table)
                               : !size_run(bench, sequence, size, &is_first)) {
            return false;
        }
    }
    return true;
}

static enum command_result rows_run(struct bench_dyncall *bench, bool json)
{
    if (!dyncall_state_begin(&bench->state, bench->request.command, bench->session)) {
        return COMMAND_FAILED;
    }
    bool done = true;

    table_begin(&bench->table, bench->is_learning ? "bench.dyncall.learning" : "bench.dyncall",
                json);
    for (size_t i = 0; i < bench->sequences.count && done; i++) {
        done = sequence_run(bench, (enum dyncall_sequence)bench->sequences.values[i]);
    }
    table_end(&bench->table);
    if (!done && shell_interrupted(bench->session)) {
        console_print("%s: stopped by Ctrl-C\n", bench->request.command);
    }
    return dyncall_state_end(&bench->state) && done ? COMMAND_OK : COMMAND_FAILED;
}

static const char *const *sequence_names(void)
{
    static const char *names[DYNCALL_SEQUENCES + 1];

    for (enum dyncall_sequence sequence = 0; sequence < DYNCALL_SEQUENCES; sequence++) {
        names[sequence] = dyncall_sequence_name(sequence);
    }
    return names;
}

static const char *const *form_names(void)
{
    static const char *names[DYNAMIC_COMPARE_COUNT + 1];

    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        names[compare] = dynamic_compare_name(compare);
    }
    return names;
}

/* The @count choices from @first on, if none was named. */
static void list_complete(struct number_list *list, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; list->count == i && i < count; i++) {
        list->values[list->count++] = first + i;
    }
}

/* Learning is not about single calls: what is said of them would be ignored. */
static bool learning_has_no_calls(const struct bench_dyncall *bench, uint64_t calls)
{
    const char *wrong = NULL;

    if (bench->ways.count != 0) {
        wrong = "--way";
    } else if (bench->forms.count != 0) {
        wrong = "--form";
    } else if (calls != 0) {
        wrong = "--calls";
    }
    if (wrong != NULL) {
        console_print("bench dyncall: %s does not go with --learning, which is about no calls\n",
                      wrong);
    }
    return wrong == NULL;
}

static enum command_result bench_dyncall_run(struct shell_session *session, int argc, char **argv)
{
    static const char *const slot_names[] = {"1", "2", "4", NULL}; /* as dyncall_sizes */
    static struct bench_dyncall bench;                             /* one bench at a time */
    uint64_t calls = 0;
    bool json = false;

    memset(&bench, 0, sizeof(bench));
    const struct option options[] = {
        OPTION_CHOICE_LIST("--sequence", &bench.sequences, sequence_names()),
        OPTION_CHOICE_LIST("--way", &bench.ways, way_names),
        OPTION_CHOICE_LIST("--form", &bench.forms, form_names()),
        OPTION_CHOICE_LIST("--slots", &bench.sizes, slot_names),
        OPTION_NUMBER("--calls", &calls, 1, BENCH_WAYS_BLOCK * BENCH_WAYS_BLOCKS_MAX),
        OPTION_FLAG("--learning", &bench.is_learning),
        OPTION_JSON(&json),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    if (!bench_is_untraced(argv[0]) ||
        (bench.is_learning && !learning_has_no_calls(&bench, calls))) {
        return COMMAND_FAILED;
    }
    list_complete(&bench.sequences, 0, DYNCALL_SEQUENCES);
    list_complete(&bench.ways, 0, DYNCALL_USUAL_WAYS);
    list_complete(&bench.forms, DYNAMIC_COMPARE_IMMEDIATE, 1);
    list_complete(&bench.sizes, SIZE_USUAL, 1);
    bench.session = session;
    bench.request = (struct bench_ways_request){
        .command = "bench dyncall",
        .blocks =
            calls != 0 ? (uint32_t)((calls + BENCH_WAYS_BLOCK - 1) / BENCH_WAYS_BLOCK) : ROW_BLOCKS,
        .budget_ns = calls == 0 ? ROW_BUDGET_NS : 0,
    };
    return rows_run(&bench, json);
}

const struct shell_command command_bench_dyncall = {
    .name = "dyncall",
    .summary = "calls that learn whom they call: what they cost, what it takes to learn",
    .usage = "bench dyncall [--sequence LIST] [--way LIST] [--form imm,mem] [--slots 1,2,4] "
             "[--calls N] [-j]\n"
             "         bench dyncall --learning [--sequence LIST] [--slots LIST] [-j]",
    .example = "bench dyncall --sequence constant,zipf-8",
    .details =
        "By sequence of targets (burst-8: 95 % as before, else any of 8; phase-256: another of\n"
        "4 after so many calls), way and number of slots. pinned: the hottest targets in the\n"
        "slots; off: gate closed; learning, watched: the same two, every call or every miss\n"
        "counted; auto: what it has learnt, chosen: slots in use. Unless named: all sequences,\n"
        "pinned, off and auto, imm, 2 slots. --learning: epochs, updates, batches, rounds and\n"
        "IPIs until it has learnt; then 3 s of the same; then until it has learnt other\n"
        "targets.",
    .run = bench_dyncall_run,
};
