// SPDX-License-Identifier: MIT
/* The `dyncall` command: dynamic calls, whom they call, and what learning makes of them. Invariant:
 * what is refused changes nothing, and one line names the word. Words that name targets are read in
 * dyncall_target.c; decisions are shown by dyncall_log.c. */
#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/dyncall_command.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"

#define WORDS_MAX 16

static struct dynamic_call *find(const char *name)
{
    struct dynamic_call *call = dynamic_call_find(name);
    struct nearest_word nearest = {.word = name};

    if (call != NULL) {
        return call;
    }
    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        nearest_word_consider(&nearest, call->name);
    }
    if (nearest.best != NULL) {
        console_print("dyncall: there is no dynamic call '%s'; did you mean '%s'?\n", name,
                      nearest.best);
    } else {
        console_print("dyncall: there is no dynamic call '%s'; `dyncall` lists them\n", name);
    }
    return NULL;
}

/* What keeps it from learning comes before what the policy thinks. */
static const char *why_text(const struct dynamic_call_view *view,
                            const struct dynamic_auto_view *choice)
{
    bool learns = choice->state != DYNAMIC_OFF && choice->state != DYNAMIC_PINNED;

    return learns && !view->has_memory ? "no memory" : dynamic_reason_name(choice->reason);
}

static void costs_cells(struct table *table, const struct dynamic_call_view *view,
                        const struct dynamic_auto_view *choice)
{
    const struct dynamic_call_statistics *statistics = &view->statistics;

    table_number(table, "grace_periods", 0, statistics->grace_periods);
    table_number(table, "rounds", 0, statistics->rounds);
    table_time(table, "cost_ns", 0, statistics->cost_ns);
    table_number(table, "failed", 0, statistics->failed);
    table_number(table, "refused", 0, choice->refused);
    table_number(table, "forgotten", 0, statistics->forgotten);
    table_bool(table, "memory", 0, view->has_memory);
}

/* @is_all: of the one that was asked for, everything; of many what fits on a line. */
static void row_print(struct table *table, struct dynamic_call *call, bool is_all)
{
    struct dynamic_call_view view;
    struct dynamic_auto_view choice;

    dynamic_call_look(call, &view);
    dynamic_auto_look(call, &choice);
    table_row(table);
    table_text(table, "name", 21, view.name);
    table_number(table, "slots", 5, view.slot_count);
    table_number(table, "sites", 5, view.sites);
    table_text(table, "form", 4, dynamic_compare_name(view.form.compare));
    table_text(table, "state", 8, dynamic_state_name(choice.state));
    table_text(table, "why", 13, why_text(&view, &choice));
    table_number(table, "hits", 8, choice.hits);
    table_number(table, "misses", 8, choice.misses);
    table_number(table, "nulls", 5, view.nulls);
    table_number(table, "epochs", 6, choice.epochs);
    table_number(table, "changes", 7, view.statistics.changes);
    table_number(table, "batches", 7, view.statistics.batches);
    table_number(table, "ipis", 5, view.statistics.ipis);
    if (is_all || table->json) {
        costs_cells(table, &view, &choice);
    }
    dyncall_targets_cell(table, "targets", 0, &view.form.targets);
    table_end_row(table);
}

/* By name; those that learn only by hand, which are of tests and benches, behind the others. */
static bool stands_before(const struct dynamic_call *a, const struct dynamic_call *b)
{
    return a->is_by_hand != b->is_by_hand ? b->is_by_hand : strcmp(a->name, b->name) < 0;
}

/* Behind @last in that order; @last NULL: the first one. Returns NULL if there is none. */
static struct dynamic_call *next_find(const struct dynamic_call *last)
{
    struct dynamic_call *next = NULL;
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        if ((last == NULL || stands_before(last, call)) &&
            (next == NULL || stands_before(call, next))) {
            next = call;
        }
    }
    return next;
}

static void all_print(bool json)
{
    struct dynamic_call *call = NULL;
    struct table table;

    table_begin(&table, "dyncall", json);
    while ((call = next_find(call)) != NULL) {
        row_print(&table, call, false);
    }
    table_end(&table);
}

static void one_print(struct dynamic_call *call, bool json)
{
    struct table table;

    table_begin(&table, "dyncall", json);
    row_print(&table, call, true);
    table_end(&table);
}

/* What is done to one; @words: @count of them, behind the verb. */
struct verb {
    const char *name;
    unsigned least, most; /* words behind it */
    const char *needs;    /* said if there are fewer */
    enum command_result (*run)(struct dynamic_call *call, char **words, unsigned count, bool json);
};

static enum command_result done_print(struct dynamic_call *call, enum patch_status status,
                                      const char *verb, const struct patch_error *error, bool json)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("dyncall: %s %s: %s\n", call->name, verb, patch_error_text(error, text));
        return COMMAND_FAILED;
    }
    one_print(call, json);
    return COMMAND_OK;
}

static enum command_result on_run(struct dynamic_call *call, char **words, unsigned count,
                                  bool json)
{
    struct patch_error error = {0};

    (void)words;
    (void)count;
    return done_print(call, dynamic_auto_set(call, true, clock_now_ns(), &error), "on", &error,
                      json);
}

static enum command_result off_run(struct dynamic_call *call, char **words, unsigned count,
                                   bool json)
{
    struct patch_error error = {0};

    (void)words;
    (void)count;
    return done_print(call, dynamic_auto_set(call, false, clock_now_ns(), &error), "off", &error,
                      json);
}

static enum command_result pin_run(struct dynamic_call *call, char **words, unsigned count,
                                   bool json)
{
    struct dynamic_targets targets;
    struct patch_error error = {0};

    if (!dyncall_targets_read(call, words, count, &targets)) {
        return COMMAND_FAILED;
    }
    return done_print(call, dynamic_auto_pin(call, &targets, clock_now_ns(), &error), "pin", &error,
                      json);
}

static enum command_result form_run(struct dynamic_call *call, char **words, unsigned count,
                                    bool json)
{
    struct patch_error error = {0};

    (void)count;
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        if (strcmp(words[0], dynamic_compare_name(compare)) == 0) {
            return done_print(call, dynamic_auto_set_compare(call, compare, &error), "form", &error,
                              json);
        }
    }
    console_print("dyncall: form '%s' is not one of", words[0]);
    for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
        console_print(" %s", dynamic_compare_name(compare));
    }
    console_print("\n");
    return COMMAND_USAGE;
}

static enum command_result log_run(struct dynamic_call *call, char **words, unsigned count,
                                   bool json)
{
    (void)words;
    (void)count;
    dyncall_log_print(call, json);
    return COMMAND_OK;
}

static const struct verb verbs[] = {
    {"on", 0, 0, NULL, on_run},
    {"off", 0, 0, NULL, off_run},
    {"pin", 1, WORDS_MAX, "the names of functions, one at least", pin_run},
    {"form", 1, 1, "imm or mem", form_run},
    {"log", 0, 0, NULL, log_run},
};

static enum command_result verb_run(struct dynamic_call *call, char **words, unsigned count,
                                    bool json)
{
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        const struct verb *verb = &verbs[i];

        if (strcmp(words[0], verb->name) != 0) {
            continue;
        }
        if (count - 1 < verb->least) {
            console_print("dyncall: %s needs %s\n", verb->name, verb->needs);
            return COMMAND_USAGE;
        }
        if (count - 1 > verb->most) {
            console_print("dyncall: '%s' is a word too many behind %s\n", words[1 + verb->most],
                          verb->name);
            return COMMAND_USAGE;
        }
        return verb->run(call, words + 1, count - 1, json);
    }
    console_print("dyncall: '%s' is not one of", words[0]);
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        console_print(" %s", verbs[i].name);
    }
    console_print("\n");
    return COMMAND_USAGE;
}

static enum command_result dyncall_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, WORDS_MAX)) {
        return COMMAND_USAGE;
    }
    if (argc == 1) {
        all_print(json);
        return COMMAND_OK;
    }
    struct dynamic_call *call = find(argv[1]);

    if (call == NULL) {
        return COMMAND_FAILED;
    }
    if (argc > 2) {
        return verb_run(call, argv + 2, (unsigned)argc - 2, json);
    }
    one_print(call, json);
    return COMMAND_OK;
}

static void functions_offer(struct shell_completion *completion)
{
    const char *name;
    uint64_t address;

    for (uint32_t i = 0; symbol_get(i, &name, &address); i++) {
        shell_completion_offer(completion, name);
    }
}

static void dyncall_complete(struct shell_completion *completion, int argument, char **argv)
{
    struct dynamic_call *call;

    if (argument == 1) {
        for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
            shell_completion_offer(completion, call->name);
        }
    } else if (argument == 2) {
        for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
            shell_completion_offer(completion, verbs[i].name);
        }
    } else if (strcmp(argv[2], "pin") == 0) {
        functions_offer(completion);
    } else if (argument == 3 && strcmp(argv[2], "form") == 0) {
        for (enum dynamic_compare compare = 0; compare < DYNAMIC_COMPARE_COUNT; compare++) {
            shell_completion_offer(completion, dynamic_compare_name(compare));
        }
    }
}

const struct shell_command command_dyncall = {
    .name = "dyncall",
    .summary = "dynamic calls: indirect calls that learn whom they call",
    .usage = "dyncall [NAME] [-j]; dyncall NAME log [-j]; "
             "dyncall NAME on|off|pin TARGET...|form imm|mem [-j]",
    .example = "dyncall",
    .details =
        "form: comparisons with a value in the text (imm) or in memory (mem). state: learning,\n"
        "trying (both ways are timed), stable, off, pinned (targets that a person named); why:\n"
        "the reason for it. hits: counted while learning alone; misses: calls of no target that\n"
        "a slot names, as a slice of the time tells where there are many; nulls: calls of NULL,\n"
        "which return 0. changes: of targets or form; batches, ipis: what all changes took.\n"
        "dyncall NAME: the rest: rounds and grace periods, time that changes took, changes that\n"
        "failed, wishes of learning that were refused, targets forgotten because their memory\n"
        "went away.\n"
        "on: learning, from the start, also of one that rests; off: calls go the slow way; pin:\n"
        "the slots name these functions, and nothing is learnt. log: the last decisions: cost:\n"
        "of the change; slow, chain: what a call was timed at, without and with slots; saving: a\n"
        "call; break_even: calls that earn the cost back; called: by whose shares it was decided.",
    .run = dyncall_run,
    .complete = dyncall_complete,
};
