// SPDX-License-Identifier: MIT
/* Shell commands about patchable functions: calls, call. They use the public API of patching/
 * alone. */
#include "kernel/console.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/patchable.h"
#include "kernel/poke_table.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/static_call.h"

static const char *const form_words[] = {
    [STATIC_CALL_INLINE] = "inline",
    [STATIC_CALL_OUT_OF_LINE] = "out-of-line",
    [STATIC_CALL_FORM_COUNT] = NULL,
};

/* How many sites of @call are of @kind. */
static uint64_t count_sites(const struct static_call *call, enum call_site_kind kind)
{
    uint64_t count = 0;
    for (uint32_t i = 0; i < call->site_count; i++) {
        count += call->sites[i].kind == kind;
    }
    return count;
}

static const char *target_text(const struct static_call *call, char text[SYMBOL_TEXT_MAX])
{
    static_call_function *target = static_call_target(call);
    if (target != NULL) {
        uint64_t offset;
        const char *name = symbol_find((uint64_t)target, &offset);
        return name != NULL && offset == 0
                   ? name
                   : symbol_describe((uint64_t)target, text, SYMBOL_TEXT_MAX);
    }
    return call->empty == STATIC_CALL_MAY_BE_ZERO ? "zero" : "null";
}

static void call_print_row(struct table *table, const struct static_call *call)
{
    char text[SYMBOL_TEXT_MAX];
    enum static_call_form form = static_call_form(call);
    table_row(table);
    table_text(table, "name", 18, call->name);
    table_text(table, "form", 11, form_words[form]);
    table_text(table, "target", 24, target_text(call, text));
    table_number(table, "sites", 5, call->site_count);
    table_number(table, "calls", 5, count_sites(call, CALL_SITE_CALL));
    table_number(table, "jumps", 5, count_sites(call, CALL_SITE_JUMP));
    table_number(table, "jccs", 4, count_sites(call, CALL_SITE_JUMP_IF));
    table_number(table, "patched", 7, form == STATIC_CALL_INLINE ? call->site_count : 0);
    table_end_row(table);
}

/* Finds the call that @name names, or says that there is none. */
static struct static_call *call_of(const char *command, const char *name)
{
    struct static_call *call = static_call_find(name);
    if (call != NULL) {
        return call;
    }
    struct nearest_word nearest = {.word = name};
    for (call = static_call_first(); call != NULL; call = static_call_next(call)) {
        nearest_word_consider(&nearest, call->name);
    }
    if (nearest.best != NULL) {
        console_print("%s: no call is named '%s'; did you mean '%s'?\n", command, name,
                      nearest.best);
    } else {
        console_print("%s: no call is named '%s'; `calls` lists them\n", command, name);
    }
    return NULL;
}

static void calls_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    if (argument != 1) {
        return;
    }
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        shell_completion_offer(completion, call->name);
    }
}

static enum command_result calls_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    const struct static_call *only = argc == 2 ? call_of("calls", argv[1]) : NULL;
    if (argc == 2 && only == NULL) {
        return COMMAND_FAILED;
    }
    struct table table;
    table_begin(&table, "call", json);
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        if (only == NULL || only == call) {
            call_print_row(&table, call);
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_calls = {
    .name = "calls",
    .summary = "patchable functions: where their calls go, how many there are",
    .usage = "calls [NAME] [-j]",
    .example = "calls",
    .details =
        "sites: calls, tail calls (jumps) and conditional tail calls (jccs) that the link-time\n"
        "pass found; patched: those that go to the target, not to the trampoline. `sites NAME`\n"
        "shows each.",
    .run = calls_run,
    .complete = calls_complete,
};

/* What @word, behind the name of @call, asks for. Returns COMMAND_USAGE if it is nothing. */
static enum command_result call_change(struct static_call *call, const char *word,
                                       enum patch_status *status, struct patch_error *error)
{
    for (enum static_call_form form = 0; form < STATIC_CALL_FORM_COUNT; form++) {
        if (strcmp(word, form_words[form]) == 0) {
            *status = static_call_set_form(call, form, error);
            return COMMAND_OK;
        }
    }
    static_call_function *target;
    if (!call_target_find("call", call, word, &target)) {
        return COMMAND_USAGE;
    }
    *status = static_call_set(call, target, error);
    return COMMAND_OK;
}

static enum command_result call_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 2)) {
        return COMMAND_USAGE;
    }
    struct static_call *call = call_of("call", argv[1]);
    if (call == NULL) {
        return COMMAND_FAILED;
    }
    if (argc == 3) {
        uint64_t newest = patch_record_newest();
        struct patch_error error = {0};
        enum patch_status status = PATCH_OK;
        if (call_change(call, argv[2], &status, &error) != COMMAND_OK) {
            return COMMAND_USAGE;
        }
        if (status != PATCH_OK) {
            char text[PATCH_ERROR_TEXT_MAX];
            console_print("call: %s %s: %s\n", call->name, argv[2], patch_error_text(&error, text));
            return COMMAND_FAILED;
        }
        poke_table_print_cost(call->name, newest, json);
    }
    struct table table;
    table_begin(&table, "call", json);
    call_print_row(&table, call);
    table_end(&table);
    return COMMAND_OK;
}

static void call_complete(struct shell_completion *completion, int argument, char **argv)
{
    calls_complete(completion, argument, argv);
    if (argument != 2 || static_call_find(argv[1]) == NULL) {
        return;
    }
    call_targets_complete(completion, static_call_find(argv[1]));
    shell_completion_offer_all(completion, form_words);
}

const struct shell_command command_call = {
    .name = "call",
    .summary = "show one patchable function, or change where all CPUs go that call it",
    .usage = "call NAME [TARGET|null|zero|inline|out-of-line] [-j]",
    .example = "call cpu_idle idle_poll",
    .details =
        "TARGET is one of the functions that the code names for it (tab lists them); null: does\n"
        "nothing, zero: returns 0, where the type allows that. inline: the calls go to the\n"
        "target; out-of-line: to a jump that goes there. The record of the batch is shown.",
    .run = call_run,
    .complete = call_complete,
};
