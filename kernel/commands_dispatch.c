// SPDX-License-Identifier: MIT
/* The `dispatch` command: dispatchers, their entries, and what they are made of. Invariant: what is
 * shown of one dispatcher belongs together, though others may change it meanwhile; what is refused
 * changes nothing and says why. The other verbs are in dispatch_code.c and dispatch_log.c. */
#include "kernel/console.h"
#include "kernel/dispatch_command.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/dispatcher_auto.h"

#define WORD_SHAPE "shape"
#define WORD_LOG   "log"
#define WORD_AUTO  "auto"

static struct dispatcher *find(const char *name)
{
    struct dispatcher *found = dispatcher_find(name);
    struct nearest_word nearest = {.word = name};
    struct dispatcher *dispatcher;

    if (found != NULL) {
        return found;
    }
    for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
        nearest_word_consider(&nearest, dispatcher->name);
    }
    if (nearest.best != NULL) {
        console_print("dispatch: there is no dispatcher '%s'; did you mean '%s'?\n", name,
                      nearest.best);
    } else {
        console_print("dispatch: there is no dispatcher '%s'; `dispatch` lists them\n", name);
    }
    return NULL;
}

static void row_print(struct table *table, struct dispatcher *dispatcher)
{
    static struct dispatcher_view view; /* the shell's */
    const struct dispatcher_statistics *statistics = &view.statistics;
    struct dispatcher_auto_view choice;
    char fallback[SYMBOL_TEXT_MAX];

    dispatcher_look(dispatcher, &view);
    dispatcher_auto_look(dispatcher, &choice);
    table_row(table);
    table_text(table, "name", 8, view.name);
    table_number(table, "entries", 7, view.count);
    table_number(table, "references", 10, view.references);
    table_text(table, "shape", 11, dispatcher_shape_name(view.shape));
    table_text(table, "auto", 8, dispatcher_choice_state_name(choice.state));
    table_number(table, "image_bytes", 11, view.image_length);
    table_number(table, "sampled_hits", 12, statistics->sampled_hits);
    table_number(table, "sampled_misses", 14, statistics->sampled_misses);
    table_number(table, "updates", 7, statistics->updates);
    table_number(table, "grace_periods", 13, statistics->grace_periods);
    table_number(table, "refused", 7, statistics->refused);
    table_text(table, "fallback", 0,
               dispatch_target_text((uint64_t)__x86_indirect_thunk_rdx, fallback));
    table_number(table, "generation", 0, view.generation);
    table_end_row(table);
}

static void all_print(bool json)
{
    struct dispatcher *dispatcher;
    struct table table;

    table_begin(&table, "dispatch", json);
    for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
        row_print(&table, dispatcher);
    }
    table_end(&table);
}

static void one_print(struct dispatcher *dispatcher, bool json)
{
    struct table table;

    table_begin(&table, "dispatch", json);
    row_print(&table, dispatcher);
    table_end(&table);
}

/* From 1, the hottest; 0: not in the list. */
static uint32_t rank_of(const struct dispatcher_view *view, uint32_t entry)
{
    for (uint32_t rank = 0; rank < view->count; rank++) {
        if (view->hottest[rank] == entry) {
            return rank + 1;
        }
    }
    return 0;
}

static void entries_print(struct dispatcher *dispatcher, bool json)
{
    static struct dispatcher_view view;
    char target[SYMBOL_TEXT_MAX];
    struct table table;

    dispatcher_look(dispatcher, &view);
    table_begin(&table, "dispatch.entry", json);
    for (uint32_t i = 0; i < view.count; i++) {
        table_row(&table);
        table_text(&table, "name", 8, view.name);
        table_hex(&table, "address", 18, view.entries[i].target);
        table_text(&table, "target", 24, dispatch_target_text(view.entries[i].target, target));
        table_number(&table, "references", 10, view.entries[i].references);
        table_number(&table, "rank", 4, rank_of(&view, i));
        table_end_row(&table);
    }
    table_end(&table);
}

static enum command_result refusal_print(const struct dispatcher *dispatcher, const char *word,
                                         const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    console_print("dispatch: %s shape %s: %s\n", dispatcher->name, word,
                  patch_error_text(error, text));
    return COMMAND_FAILED;
}

/* Returns DISPATCHER_SHAPE_COUNT, having said what @name may have meant, if it is none. */
static enum dispatcher_shape shape_of(const char *name)
{
    enum dispatcher_shape found = dispatcher_shape_find(name);
    struct nearest_word nearest = {.word = name};

    if (found != DISPATCHER_SHAPE_COUNT) {
        return found;
    }
    console_print("dispatch: '%s' is not one of", name);
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        console_print(" %s", dispatcher_shape_name(shape));
        nearest_word_consider(&nearest, dispatcher_shape_name(shape));
    }
    console_print(" " WORD_AUTO);
    nearest_word_consider(&nearest, WORD_AUTO);
    if (nearest.best != NULL) {
        console_print("; did you mean '%s'?", nearest.best);
    }
    console_print("\n");
    return DISPATCHER_SHAPE_COUNT;
}

static enum command_result shape_run(struct dispatcher *dispatcher, const char *word, bool json)
{
    bool is_auto = strcmp(word, WORD_AUTO) == 0;
    struct dispatcher_form form = {.generation = UINT64_MAX};
    struct patch_error error = {0};

    if (!is_auto && (form.shape = shape_of(word)) == DISPATCHER_SHAPE_COUNT) {
        return COMMAND_USAGE;
    }
    if (dispatcher_auto_set(dispatcher, is_auto, &error) != PATCH_OK ||
        (!is_auto && dispatcher_set_form(dispatcher, &form, &error) != PATCH_OK)) {
        return refusal_print(dispatcher, word, &error);
    }
    one_print(dispatcher, json);
    return COMMAND_OK;
}

/* `dispatch NAME VERB ...`. */
static enum command_result verb_run(struct dispatcher *dispatcher, int argc, char **argv, bool json)
{
    if (strcmp(argv[2], WORD_LOG) == 0) {
        if (argc > 3) {
            console_print("dispatch: " WORD_LOG " takes nothing behind it, not '%s'\n", argv[3]);
            return COMMAND_USAGE;
        }
        dispatch_log_print(dispatcher, json);
        return COMMAND_OK;
    }
    if (strcmp(argv[2], WORD_SHAPE) != 0) {
        console_print("dispatch: '%s' is neither " WORD_SHAPE " nor " WORD_LOG "\n", argv[2]);
        return COMMAND_USAGE;
    }
    if (argc == 3) {
        console_print("dispatch: " WORD_SHAPE " needs the name of one, or " WORD_AUTO "\n");
        return COMMAND_USAGE;
    }
    return shape_run(dispatcher, argv[3], json);
}

static enum command_result dispatch_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false, code = false;
    const struct option options[] = {OPTION_JSON(&json), OPTION_FLAG("--code", &code)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 3)) {
        return COMMAND_USAGE;
    }
    if (code && argc != 2) {
        console_print("dispatch: --code shows one dispatcher: dispatch NAME --code\n");
        return COMMAND_USAGE;
    }
    if (argc == 1) {
        all_print(json);
        return COMMAND_OK;
    }
    struct dispatcher *dispatcher = find(argv[1]);

    if (dispatcher == NULL) {
        return COMMAND_FAILED;
    }
    if (argc > 2) {
        return verb_run(dispatcher, argc, argv, json);
    }
    if (code) {
        return dispatch_code_print(dispatcher, json) ? COMMAND_OK : COMMAND_FAILED;
    }
    entries_print(dispatcher, json);
    return COMMAND_OK;
}

static void dispatch_complete(struct shell_completion *completion, int argument, char **argv)
{
    struct dispatcher *dispatcher;

    if (argument == 1) {
        for (unsigned i = 0; (dispatcher = dispatcher_at(i)) != NULL; i++) {
            shell_completion_offer(completion, dispatcher->name);
        }
    } else if (argument == 2) {
        shell_completion_offer(completion, WORD_SHAPE);
        shell_completion_offer(completion, WORD_LOG);
    } else if (argument == 3 && strcmp(argv[2], WORD_SHAPE) == 0) {
        for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
            shell_completion_offer(completion, dispatcher_shape_name(shape));
        }
        shell_completion_offer(completion, WORD_AUTO);
    }
}

const struct shell_command command_dispatch = {
    .name = "dispatch",
    .summary = "dispatchers: indirect calls made as compares and direct jumps",
    .usage = "dispatch [NAME] [--code] [-j]; dispatch NAME shape SHAPE|auto [-j]; "
             "dispatch NAME log [-j]",
    .example = "dispatch bench shape linear",
    .details =
        "dispatch: all of them. references: users of the entries; image_bytes: of the code in\n"
        "use, 0: calls go straight to the fallback. sampled: calls that trials have looked at;\n"
        "refused: programs for which there was no entry left: they run through the fallback.\n"
        "grace_periods: waited for, so that a half of the memory could be written again.\n"
        "dispatch NAME: its entries by address; rank 1 is called most often, as far as known.\n"
        "--code: the code in use, disassembled, with the names of its targets.\n"
        "shape: tree, tree4 (leaves of up to 4), linear (hottest first), linear-cold (hottest\n"
        "last), hot1, hot2 (the hottest alone), none (the fallback alone); auto: measures them\n"
        "on live traffic and takes the best. log: what auto has decided, and why: what a call\n"
        "cost in each shape, the time between two calls included.",
    .run = dispatch_run,
    .complete = dispatch_complete,
};
