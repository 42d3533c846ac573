// SPDX-License-Identifier: MIT
/* The `mitigation` command: how indirect branches guard against speculation, shown and switched.
 * Invariant: what is refused changes nothing and says why and what would be accepted. */
#include "kernel/console.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/patch_error_text.h"
#include "kernel/poke_table.h"
#include "kernel/shell.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/indirect_thunk.h"
#include "patching/instruction.h"
#include "patching/record.h"

static const char *const summaries[MITIGATION_COUNT] = {
    [MITIGATION_RETPOLINE] = "call, return address overwritten, ret: speculation is caught",
    [MITIGATION_LFENCE] = "jmp to lfence; jmp *reg",
    [MITIGATION_NONE] = "jmp to jmp *reg",
};

static enum command_result print_refusal(const char *doing, const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    console_print("mitigation: %s: %s\n", doing, patch_error_text(error, text));
    return COMMAND_FAILED;
}

/* Returns MITIGATION_COUNT, having said what @name may have meant, if it is none. */
static enum mitigation mitigation_of(const char *name)
{
    enum mitigation found = mitigation_find(name);
    struct nearest_word nearest = {.word = name};

    if (found != MITIGATION_COUNT) {
        return found;
    }
    console_print("mitigation: '%s' is not one of", name);
    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        console_print(" %s", mitigation_name(id));
        nearest_word_consider(&nearest, mitigation_name(id));
    }
    if (nearest.best != NULL) {
        console_print("; did you mean '%s'?", nearest.best);
    }
    console_print("\n");
    return MITIGATION_COUNT;
}

static enum command_result mitigations_print(bool json)
{
    struct patch_error error;
    struct patch_plan plan;
    struct table table;

    table_begin(&table, "mitigation", json);
    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        if (mitigation_plan(id, &plan, &error) != PATCH_OK) {
            table_end(&table);
            return print_refusal(mitigation_name(id), &error);
        }
        table_row(&table);
        table_text(&table, "name", 9, mitigation_name(id));
        table_bool(&table, "current", 7, id == mitigation_current());
        table_number(&table, "thunks", 6, indirect_thunk_count);
        table_number(&table, "sites", 5, plan.sites);
        table_number(&table, "rounds", 6, plan.rounds);
        table_number(&table, "ipis", 4, plan.ipis);
        table_text(&table, "summary", 0, summaries[id]);
        table_end_row(&table);
    }
    table_end(&table);
    return COMMAND_OK;
}

static void thunks_print(bool json)
{
    struct table table;

    table_begin(&table, "mitigation.thunk", json);
    for (size_t i = 0; i < indirect_thunk_count; i++) {
        const struct indirect_thunk_site site = indirect_thunk_site(i);
        struct instruction instruction;
        char text[INSTRUCTION_TEXT_SIZE] = "?";
        char bytes[PATCH_BYTES_TEXT_MAX];
        char target[SYMBOL_TEXT_MAX] = "?";

        if (instruction_decode(site.bytes, sizeof(site.bytes), site.address, &instruction) ==
            PATCH_OK) {
            instruction_text(&instruction, text, sizeof(text));
            symbol_describe(instruction.target, target, sizeof(target));
        }
        table_row(&table);
        table_text(&table, "name", 4, site.name);
        table_hex(&table, "address", 18, site.address);
        table_text(&table, "bytes", 10, patch_bytes_text(site.bytes, sizeof(site.bytes), bytes));
        table_text(&table, "instruction", 23, text);
        table_text(&table, "target", 0, target);
        table_end_row(&table);
    }
    table_end(&table);
}

static enum command_result mitigation_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    bool thunks = false;
    const struct option options[] = {OPTION_JSON(&json), OPTION_FLAG("--thunks", &thunks)};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc == 2) {
        enum mitigation mitigation = mitigation_of(argv[1]);
        uint64_t newest = patch_record_newest();
        struct patch_error error;

        if (mitigation == MITIGATION_COUNT) {
            return COMMAND_USAGE;
        }
        if (mitigation_set(mitigation, &error) != PATCH_OK) {
            return print_refusal(argv[1], &error);
        }
        poke_table_print_cost(mitigation_change_to(mitigation).name, newest, json);
    }
    if (thunks) {
        thunks_print(json);
        return COMMAND_OK;
    }
    return mitigations_print(json);
}

static void mitigation_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    for (enum mitigation id = 0; argument == 1 && id < MITIGATION_COUNT; id++) {
        shell_completion_offer(completion, mitigation_name(id));
    }
}

const struct shell_command command_mitigation = {
    .name = "mitigation",
    .summary = "how indirect calls guard against speculation; switch it",
    .usage = "mitigation [retpoline|lfence|none] [--thunks] [-j]",
    .example = "mitigation lfence",
    .details =
        "All indirect calls of C code go through thunks, one for each register; a switch patches\n"
        "all of them in one batch, while other CPUs run through them. Bare under every one: calls\n"
        "of paravirt ops in form indirect, and those of a layer to what is below it. sites,\n"
        "rounds, ipis: what switching to that one would write and cost, by the default protocol.\n"
        "--thunks: the thunks with their first instruction, the only one that is patched.\n"
        "Also mitigation=NAME on the kernel command line.",
    .run = mitigation_run,
    .complete = mitigation_complete,
};
