// SPDX-License-Identifier: MIT
/* Shell commands about keys and what patching cost: keys, key, pokes. They use the public API of
 * patching/ alone. */
#include "kernel/console.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/poke_table.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "patching/static_key.h"

/* Finds the key that @name names, or says that there is none. */
static struct static_key *key_of(const char *name)
{
    struct static_key *key = static_key_find(name);
    if (key != NULL) {
        return key;
    }
    struct nearest_word nearest = {.word = name};
    for (key = static_key_first(); key != NULL; key = static_key_next(key)) {
        nearest_word_consider(&nearest, key->name);
    }
    if (nearest.best != NULL) {
        console_print("key: no key is called '%s'; did you mean '%s'?\n", name, nearest.best);
    } else {
        console_print("key: no key is called '%s'; `keys` lists them\n", name);
    }
    return NULL;
}

static void key_names_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    if (argument != 1) {
        return;
    }
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        shell_completion_offer(completion, key->name);
    }
}

static void key_print_row(struct table *table, const struct static_key *key)
{
    table_row(table);
    table_text(table, "name", 20, key->name);
    table_bool(table, "enabled", 7, static_key_is_enabled(key));
    table_number(table, "count", 6, static_key_count(key));
    table_number(table, "sites", 6, key->site_count);
    table_end_row(table);
}

static enum command_result keys_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    struct table table;
    table_begin(&table, "key", json);
    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        key_print_row(&table, key);
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_keys = {
    .name = "keys",
    .summary = "static keys: state, users, number of sites",
    .usage = "keys [-j]",
    .example = "keys",
    .details = "count is the number of users; a key is enabled while it has any.",
    .run = keys_run,
};

/* What a key can be told. */
static const char *const key_verbs[] = {"on", "off", "inc", "dec", NULL};
enum key_verb { KEY_ON, KEY_OFF, KEY_INCREMENT, KEY_DECREMENT };

/* Returns the outcome. @error: the culprit, as far as the operation names one. */
static enum patch_status key_change(struct static_key *key, enum key_verb verb,
                                    struct patch_error *error)
{
    struct patch_change change = static_key_change_to(key, verb == KEY_ON);

    *error = (struct patch_error){0};
    switch (verb) {
    case KEY_ON:
    case KEY_OFF:
        return patch_transaction(key->name, &change, 1, error);
    case KEY_INCREMENT:
        error->status = static_key_increment(key);
        return error->status;
    default:
        error->status = static_key_decrement(key);
        return error->status;
    }
}

/* Says why a change failed. Counting names no culprit: the log does, if a CPU is silent. */
static void key_print_refusal(const struct static_key *key, const char *verb,
                              const struct patch_error *error, bool has_culprit)
{
    char text[PATCH_ERROR_TEXT_MAX];

    console_print("key: %s %s: %s (users: %u)\n", key->name, verb,
                  has_culprit ? patch_error_text(error, text) : patch_status_text(error->status),
                  static_key_count(key));
}

static int verb_index(const char *word)
{
    for (int i = 0; key_verbs[i] != NULL; i++) {
        if (strcmp(word, key_verbs[i]) == 0) {
            return i;
        }
    }
    console_print("key: '%s' is not one of on, off, inc, dec\n", word);
    return -1;
}

static enum command_result key_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 2)) {
        return COMMAND_USAGE;
    }
    struct static_key *key = key_of(argv[1]);
    if (key == NULL) {
        return COMMAND_FAILED;
    }
    if (argc == 3) {
        int verb = verb_index(argv[2]);
        if (verb < 0) {
            return COMMAND_USAGE;
        }
        if (key->owner != NULL) {
            console_print("key: %s is part of `%s`, which flips it\n", key->name, key->owner);
            return COMMAND_FAILED;
        }
        uint64_t newest = patch_record_newest();
        struct patch_error error;
        if (key_change(key, (enum key_verb)verb, &error) != PATCH_OK) {
            key_print_refusal(key, argv[2], &error, verb == KEY_ON || verb == KEY_OFF);
            return COMMAND_FAILED;
        }
        poke_table_print_cost(key->name, newest, json);
    }
    struct table table;
    table_begin(&table, "key", json);
    key_print_row(&table, key);
    table_end(&table);
    return COMMAND_OK;
}

static void key_complete(struct shell_completion *completion, int argument, char **argv)
{
    key_names_complete(completion, argument, argv);
    if (argument == 2) {
        shell_completion_offer_all(completion, key_verbs);
    }
}

const struct shell_command command_key = {
    .name = "key",
    .summary = "show one key, or flip it while all CPUs run through it",
    .usage = "key NAME [on|off|inc|dec] [-j]",
    .example = "key bench_56 on",
    .details =
        "inc and dec count users: the first switches on, the last off. off is refused while a\n"
        "key has more than one user. The record of the batch is shown; see `help pokes`.",
    .run = key_run,
    .complete = key_complete,
};

static enum command_result pokes_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    uint64_t limit = 20;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_NUMBER("-n", &limit, 1, PATCH_RECORD_RING),
    };
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    struct table table;
    poke_table_begin(&table, json);
    uint64_t newest = patch_record_newest();
    for (uint64_t seq = newest > limit ? newest - limit + 1 : 1; seq <= newest; seq++) {
        struct patch_record record;
        if (patch_record_get(seq, &record)) {
            poke_table_row(&table, &record);
        }
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_pokes = {
    .name = "pokes",
    .summary = "the newest batches: who asked, and what each cost",
    .usage = "pokes [-n N] [-j]",
    .example = "pokes -n 5",
    .details =
        "quadwords: of the sites, those written whole by one aligned store. rounds: times all\n"
        "CPUs were serialised, or parked. ipis: interrupts sent for that. traps: int3 hits\n"
        "emulated meanwhile. total and step: time of the batch and of its three steps (int3,\n"
        "tails, first bytes or whole instructions), each with its sync; waiting for the patch\n"
        "lock is not in it.",
    .run = pokes_run,
};
