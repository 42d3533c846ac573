// SPDX-License-Identifier: MIT
/* Shell commands about keys and what patching cost: keys, key, sites, plan, pokes. They use the
 * public API of patching/ alone. */
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/poke_table.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/instruction.h"
#include "patching/static_key.h"

/* Finds the key that argv[1] names, or says that there is none. */
static struct static_key *key_of(const char *command, const char *name)
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
        console_print("%s: no key is called '%s'; did you mean '%s'?\n", command, name,
                      nearest.best);
    } else {
        console_print("%s: no key is called '%s'; `keys` lists them\n", command, name);
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

static int verb_index(const char *command, const char *word, const char *const *verbs)
{
    for (int i = 0; verbs[i] != NULL; i++) {
        if (strcmp(word, verbs[i]) == 0) {
            return i;
        }
    }
    console_print("%s: '%s' is not one of on, off%s\n", command, word,
                  verbs == key_verbs ? ", inc, dec" : "");
    return -1;
}

/* Shows what the flip cost: its record, or that there was nothing to do. */
static void key_print_cost(struct static_key *key, uint64_t newest_before, bool json)
{
    struct patch_record record;
    for (uint64_t seq = patch_record_newest(); seq > newest_before; seq--) {
        if (patch_record_get(seq, &record) && record.who == key->name) {
            struct table table;
            poke_table_begin(&table, json);
            poke_table_row(&table, &record);
            table_end(&table);
            return;
        }
    }
    if (!json) {
        console_print("%s: text unchanged: 0 rounds, 0 IPIs\n", key->name);
    }
}

static enum command_result key_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 2)) {
        return COMMAND_USAGE;
    }
    struct static_key *key = key_of("key", argv[1]);
    if (key == NULL) {
        return COMMAND_FAILED;
    }
    if (argc == 3) {
        int verb = verb_index("key", argv[2], key_verbs);
        if (verb < 0) {
            return COMMAND_USAGE;
        }
        uint64_t newest = patch_record_newest();
        struct patch_error error;
        if (key_change(key, (enum key_verb)verb, &error) != PATCH_OK) {
            key_print_refusal(key, argv[2], &error, verb == KEY_ON || verb == KEY_OFF);
            return COMMAND_FAILED;
        }
        key_print_cost(key, newest, json);
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

static void site_print_row(struct table *table, const struct static_key *key,
                           const struct static_key_site *site)
{
    char symbol[SYMBOL_TEXT_MAX];
    char bytes[PATCH_BYTES_TEXT_MAX];
    char text[INSTRUCTION_TEXT_SIZE];
    uint8_t copy[PATCH_SITE_LENGTH_MAX];
    struct instruction instruction;
    memcpy(copy, (const void *)site->address, site->length);
    bool known = instruction_decode(copy, site->length, site->address, &instruction) == PATCH_OK;
    table_row(table);
    table_text(table, "key", 12, key->name);
    table_hex(table, "addr", 18, site->address);
    table_text(table, "symbol", 34, symbol_describe(site->address, symbol, sizeof(symbol)));
    table_number(table, "len", 3, site->length);
    table_text(table, "bytes", 12, patch_bytes_text(copy, site->length, bytes));
    table_text(table, "insn", 0,
               known ? instruction_text(&instruction, text, sizeof(text)) : "(being patched)");
    table_end_row(table);
}

static enum command_result sites_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1)) {
        return COMMAND_USAGE;
    }
    struct static_key *key = key_of("sites", argv[1]);
    if (key == NULL) {
        return COMMAND_FAILED;
    }
    struct table table;
    table_begin(&table, "site", json);
    for (uint32_t i = 0; i < key->site_count; i++) {
        site_print_row(&table, key, &key->sites[i]);
    }
    table_end(&table);
    return COMMAND_OK;
}

const struct shell_command command_sites = {
    .name = "sites",
    .summary = "the branches of a key: where, which bytes, which instruction",
    .usage = "sites NAME [-j]",
    .example = "sites sched_stats",
    .details = "len in bytes. Bytes are read from the running text.",
    .run = sites_run,
    .complete = key_names_complete,
};

static void plan_print_site(void *context, const struct patch_site *site)
{
    struct table *table = context;
    char symbol[SYMBOL_TEXT_MAX];
    char old_text[PATCH_BYTES_TEXT_MAX];
    char new_text[PATCH_BYTES_TEXT_MAX];
    table_row(table);
    table_hex(table, "addr", 18, site->address);
    table_text(table, "symbol", 34, symbol_describe(site->address, symbol, sizeof(symbol)));
    table_text(table, "old", 12, patch_bytes_text(site->old_bytes, site->length, old_text));
    table_text(table, "new", 12, patch_bytes_text(site->new_bytes, site->length, new_text));
    table_end_row(table);
}

static void plan_print_total(const char *name, const struct patch_plan *plan, bool json)
{
    struct table table;
    table_begin(&table, "plan", json);
    table_row(&table);
    table_text(&table, "name", 20, name);
    table_number(&table, "sites", 6, plan->sites);
    table_number(&table, "rounds", 6, plan->rounds);
    table_number(&table, "ipis", 6, plan->ipis);
    table_text(&table, "protocol", 10, patch_protocol_name(patch_protocol_default()));
    table_end_row(&table);
    table_end(&table);
}

static enum command_result plan_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    static const char *const verbs[] = {"on", "off", NULL};
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 2, 2)) {
        return COMMAND_USAGE;
    }
    struct static_key *key = key_of("plan", argv[1]);
    if (key == NULL) {
        return COMMAND_FAILED;
    }
    int verb = verb_index("plan", argv[2], verbs);
    if (verb < 0) {
        return COMMAND_USAGE;
    }
    struct patch_plan plan;
    struct patch_error error;
    struct table table;
    table_begin(&table, "plan.site", json);
    enum patch_status status =
        static_key_plan(key, verb == 0, plan_print_site, &table, &plan, &error);
    table_end(&table);
    if (status != PATCH_OK) {
        char text[PATCH_ERROR_TEXT_MAX];
        console_print("plan: %s %s would be refused: %s\n", key->name, argv[2],
                      patch_error_text(&error, text));
        return COMMAND_FAILED;
    }
    plan_print_total(key->name, &plan, json);
    return COMMAND_OK;
}

static void plan_complete(struct shell_completion *completion, int argument, char **argv)
{
    static const char *const verbs[] = {"on", "off", NULL};
    key_names_complete(completion, argument, argv);
    if (argument == 2) {
        shell_completion_offer_all(completion, verbs);
    }
}

const struct shell_command command_plan = {
    .name = "plan",
    .summary = "what a flip would write, byte for byte, without doing it",
    .usage = "plan NAME on|off [-j]",
    .example = "plan bench_4 on",
    .details =
        "rounds: times all CPUs would be serialised (or parked) by the default protocol; ipis:\n"
        "interrupts that would take.",
    .run = plan_run,
    .complete = plan_complete,
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
