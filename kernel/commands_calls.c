// SPDX-License-Identifier: MIT
/* Shell commands about patchable functions: calls, call. They use the public API of patching/
 * alone. */
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/patchable.h"
#include "kernel/poke_table.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/lazy_call.h"
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

/* @empty: the word if there is no target. */
static const char *target_text(patchable_target *target, const char *empty,
                               char text[SYMBOL_TEXT_MAX])
{
    if (target == NULL) {
        return empty;
    }
    uint64_t offset;
    const char *name = symbol_find((uint64_t)target, &offset);
    return name != NULL && offset == 0 ? name
                                       : symbol_describe((uint64_t)target, text, SYMBOL_TEXT_MAX);
}

static void call_print_row(struct table *table, const struct static_call *call)
{
    char text[SYMBOL_TEXT_MAX];
    enum static_call_form form = static_call_form(call);
    table_row(table);
    table_text(table, "name", 22, call->name);
    table_text(table, "form", 11, form_words[form]);
    table_text(table, "target", 24,
               target_text(static_call_target(call),
                           call->empty == STATIC_CALL_MAY_BE_ZERO ? "zero" : "null", text));
    table_number(table, "sites", 5, call->site_count);
    table_number(table, "calls", 5, count_sites(call, CALL_SITE_CALL));
    table_number(table, "jumps", 5, count_sites(call, CALL_SITE_JUMP));
    table_number(table, "jccs", 4, count_sites(call, CALL_SITE_JUMP_IF));
    table_number(table, "patched", 7, form == STATIC_CALL_INLINE ? call->site_count : 0);
    table_number(table, "pending", 7, 0);
    table_none(table, "slow_calls", 10);
    table_end_row(table);
}

static void lazy_print_row(struct table *table, const struct lazy_call *call)
{
    char text[SYMBOL_TEXT_MAX];
    struct lazy_call_statistics statistics;
    lazy_call_statistics(call, &statistics);
    table_row(table);
    table_text(table, "name", 22, call->name);
    table_text(table, "form", 11, "lazy");
    table_text(table, "target", 24, target_text(lazy_call_target(call), "null", text));
    table_number(table, "sites", 5, statistics.sites);
    table_number(table, "calls", 5, statistics.sites);
    table_number(table, "jumps", 5, 0);
    table_number(table, "jccs", 4, 0);
    table_number(table, "patched", 7, statistics.patched);
    table_number(table, "pending", 7, statistics.pending);
    table_number(table, "slow_calls", 10, statistics.slow_calls);
    table_end_row(table);
}

static void patchable_print_row(struct table *table, const struct patchable *call)
{
    if (call->kind == PATCHABLE_LAZY) {
        lazy_print_row(table, call->lazy);
    } else {
        call_print_row(table, call->call);
    }
}

/* How the sites of a lazy call were found. */
static void lazy_print_statistics(const struct lazy_call *call, bool json)
{
    struct lazy_call_statistics statistics;
    struct table table;
    lazy_call_statistics(call, &statistics);
    table_begin(&table, "call.lazy", json);
    table_row(&table);
    table_text(&table, "name", 18, call->name);
    table_number(&table, "reported", 8, statistics.reported);
    table_number(&table, "merged", 6, statistics.merged);
    table_number(&table, "overflowed", 10, statistics.overflowed);
    table_number(&table, "unpatchable", 11, statistics.unpatchable);
    table_number(&table, "unlisted", 8, statistics.unlisted);
    table_number(&table, "given_up", 8, statistics.given_up);
    table_time_or_none(&table, "converged_ns", 12, statistics.converged_ns != 0,
                       statistics.converged_ns);
    table_end_row(&table);
    table_end(&table);
}

static void calls_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    if (argument == 1) {
        patchable_complete(completion, PATCHABLE_CALLS);
    }
}

/* One row, and of a lazy call how its sites were found. */
static void call_print(const struct patchable *call, bool json)
{
    struct table table;
    table_begin(&table, "call", json);
    patchable_print_row(&table, call);
    table_end(&table);
    if (call->kind == PATCHABLE_LAZY) {
        lazy_print_statistics(call->lazy, json);
    }
}

static void calls_print_all(bool json)
{
    struct table table;
    table_begin(&table, "call", json);
    for (struct static_call *call = static_call_first(); call != NULL;
         call = static_call_next(call)) {
        call_print_row(&table, call);
    }
    for (struct lazy_call *call = lazy_call_first(); call != NULL; call = lazy_call_next(call)) {
        lazy_print_row(&table, call);
    }
    table_end(&table);
}

static enum command_result calls_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc == 1) {
        calls_print_all(json);
        return COMMAND_OK;
    }
    struct patchable call;
    if (!patchable_find("calls", PATCHABLE_CALLS, argv[1], &call)) {
        return COMMAND_FAILED;
    }
    call_print(&call, json);
    return COMMAND_OK;
}

const struct shell_command command_calls = {
    .name = "calls",
    .summary = "patchable functions: where their calls go, how many there are",
    .usage = "calls [NAME] [-j]",
    .example = "calls",
    .details =
        "sites: calls, tail calls (jumps), conditional tail calls (jccs): of a static call those\n"
        "that the link-time pass found, of a lazy call those that were executed. patched: they\n"
        "go to the target; the others to trampoline or stub. slow_calls: through the stub.\n"
        "calls NAME of a lazy call: reported by the stub; merged: known already; overflowed: no\n"
        "slot was free; unpatchable: tail calls; unlisted: too many sites; given up: could not be\n"
        "patched; converged: from the first report to the last site. `sites NAME` shows each.",
    .run = calls_run,
    .complete = calls_complete,
};

#define WORD_FORGET "forget"

/* What @word asks a lazy call for. Returns COMMAND_USAGE if it is nothing. */
static enum command_result lazy_change(const struct patchable *call, const char *word,
                                       enum patch_status *status, struct patch_error *error)
{
    patchable_target *target;
    if (strcmp(word, WORD_FORGET) == 0) {
        *status = lazy_call_forget(call->lazy, error);
        return COMMAND_OK;
    }
    if (!patchable_target_find("call", call, word, &target)) {
        return COMMAND_USAGE;
    }
    *status = lazy_call_set(call->lazy, target, error);
    return COMMAND_OK;
}

/* The same for a static call. */
static enum command_result static_change(const struct patchable *call, const char *word,
                                         enum patch_status *status, struct patch_error *error)
{
    patchable_target *target;
    for (enum static_call_form form = 0; form < STATIC_CALL_FORM_COUNT; form++) {
        if (strcmp(word, form_words[form]) == 0) {
            *status = static_call_set_form(call->call, form, error);
            return COMMAND_OK;
        }
    }
    if (!patchable_target_find("call", call, word, &target)) {
        return COMMAND_USAGE;
    }
    *status = static_call_set(call->call, target, error);
    return COMMAND_OK;
}

/* Does what @word asks for and shows what it cost. */
static enum command_result call_change(const struct patchable *call, const char *word, bool json)
{
    bool is_lazy = call->kind == PATCHABLE_LAZY;
    const char *name = is_lazy ? call->lazy->name : call->call->name;
    uint64_t newest = patch_record_newest();
    struct patch_error error = {0};
    enum patch_status status = PATCH_OK;
    enum command_result result = is_lazy ? lazy_change(call, word, &status, &error)
                                         : static_change(call, word, &status, &error);
    if (result != COMMAND_OK) {
        return result;
    }
    if (status != PATCH_OK) {
        char text[PATCH_ERROR_TEXT_MAX];
        console_print("call: %s %s: %s\n", name, word, patch_error_text(&error, text));
        return COMMAND_FAILED;
    }
    poke_table_print_cost(name, newest, json);
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
    struct patchable call;
    if (!patchable_find("call", PATCHABLE_CALLS, argv[1], &call)) {
        return COMMAND_FAILED;
    }
    enum command_result result = argc == 3 ? call_change(&call, argv[2], json) : COMMAND_OK;
    if (result == COMMAND_OK) {
        call_print(&call, json);
    }
    return result;
}

static void call_complete(struct shell_completion *completion, int argument, char **argv)
{
    calls_complete(completion, argument, argv);
    if (argument != 2) {
        return;
    }
    patchable_targets_complete(completion, argv[1]);
    if (static_call_find(argv[1]) != NULL) {
        shell_completion_offer_all(completion, form_words);
    } else if (lazy_call_find(argv[1]) != NULL) {
        shell_completion_offer(completion, WORD_FORGET);
    }
}

const struct shell_command command_call = {
    .name = "call",
    .summary = "show one patchable function, or change where all CPUs go that call it",
    .usage = "call NAME [TARGET|null|zero|inline|out-of-line|forget] [-j]",
    .example = "call cpu_idle idle_poll",
    .details =
        "TARGET is one of the functions that the code names for it (tab lists them); null: does\n"
        "nothing, zero: returns 0, where the type allows that. inline: the calls go to the\n"
        "target; out-of-line: to a jump that goes there. forget: all sites of a lazy call go to\n"
        "its stub again, to be found anew. The record of the batch is shown.",
    .run = call_run,
    .complete = call_complete,
};
