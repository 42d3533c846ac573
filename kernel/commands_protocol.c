// SPDX-License-Identifier: MIT
/* The `protocol` command: lists the patch protocols and sets the default one. Invariant: what is
 * refused changes nothing and says why and what would be accepted. */
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/options.h"
#include "kernel/protocol_danger.h"
#include "kernel/shell.h"
#include "kernel/table.h"
#include "patching/poke.h"

static void refuse_unknown(const char *name)
{
    console_print("protocol: '%s' is not one of", name);
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        console_print(" %s", patch_protocol_name(id));
    }
    console_print("\n");
}

static bool default_set(const char *name, unsigned flags)
{
    enum patch_protocol_id id = patch_protocol_find(name);

    switch (patch_protocol_set_default(id, flags)) {
    case PATCH_OK:
        return true;
    case PATCH_ERR_UNSAFE:
        console_print("protocol: %s is refused: %s; any flip may then crash the kernel. To see "
                      "that: protocol %s --unsafe\n",
                      name, protocol_danger(id), name);
        return false;
    default:
        refuse_unknown(name);
        return false;
    }
}

/* Says what a default with a danger does here. */
static void note_danger(void)
{
    const char *name = patch_protocol_name(patch_protocol_default());
    const char *danger = protocol_danger(patch_protocol_default());
    unsigned flags = patch_protocol_default_flags();

    if (danger == NULL) {
        return;
    }
    if (flags & PATCH_ALLOW_UNSAFE) {
        console_print("%s: %s; --unsafe is in force, so they may do so now\n", name, danger);
    } else if (flags & PATCH_STRICT) {
        console_print("%s: %s; so with --strict every flip is refused here, unless --unsafe\n",
                      name, danger);
    } else {
        console_print("%s: %s; so it takes the steps of int3-batch here, unless --unsafe\n", name,
                      danger);
    }
}

static void row_print(struct table *table, enum patch_protocol_id id)
{
    const struct patch_protocol_facts *facts = patch_protocol_facts(id);
    bool is_default = id == patch_protocol_default();
    unsigned flags = is_default ? patch_protocol_default_flags() : 0;

    table_row(table);
    table_text(table, "name", 10, facts->name);
    table_bool(table, "default", 7, is_default);
    table_bool(table, "strict", 6, (flags & PATCH_STRICT) != 0);
    table_bool(table, "unsafe", 6, protocol_danger(id) != NULL);
    table_bool(table, "allowed_unsafe", 14, (flags & PATCH_ALLOW_UNSAFE) != 0);
    table_text(table, "rounds", 30, facts->rounds);
    table_text(table, "ipis", 5, facts->ipis);
    table_text(table, "summary", 71, facts->summary);
    table_text(table, "limits", 0, facts->limits);
    table_end_row(table);
}

static enum command_result protocol_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    bool unsafe = false;
    bool strict = false;
    const struct option options[] = {
        OPTION_JSON(&json),
        OPTION_FLAG("--unsafe", &unsafe),
        OPTION_FLAG("--strict", &strict),
    };

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 1)) {
        return COMMAND_USAGE;
    }
    if (argc == 1 && (unsafe || strict)) {
        console_print("protocol: %s: name the protocol that it is for\n",
                      unsafe ? "--unsafe" : "--strict");
        return COMMAND_USAGE;
    }
    if (argc == 2 &&
        !default_set(argv[1], (unsafe ? PATCH_ALLOW_UNSAFE : 0) | (strict ? PATCH_STRICT : 0))) {
        return COMMAND_FAILED;
    }

    struct table table;

    table_begin(&table, "protocol", json);
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        row_print(&table, id);
    }
    table_end(&table);
    if (!json) {
        console_print("rounds and IPIs of a batch of n sites; c: the other CPUs, %u here\n",
                      cpu_count() - 1);
        note_danger();
    }
    return COMMAND_OK;
}

static void protocol_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    for (enum patch_protocol_id id = 0; argument == 1 && id < PATCH_PROTOCOL_COUNT; id++) {
        shell_completion_offer(completion, patch_protocol_name(id));
    }
}

const struct shell_command command_protocol = {
    .name = "protocol",
    .summary = "list the patch protocols, set the default one",
    .usage = "protocol [NAME [--strict] [--unsafe]] [-j]",
    .example = "protocol qword",
    .details =
        "A round makes every CPU serialise once, or parks it. The default counts for every flip\n"
        "whose caller names no protocol; `bench poke` names its own. --strict: qword refuses a\n"
        "batch with a site that it cannot write as one aligned quadword, instead of taking the\n"
        "three steps of int3-batch for that site. unsafe: CPUs may execute half-written\n"
        "instructions. naive is so anywhere, and refused without --unsafe; qword on QEMU's TCG,\n"
        "which fetches byte by byte: there it takes the steps of int3-batch without --unsafe,\n"
        "and with --strict refuses every flip. allowed_unsafe: --unsafe is in force.\n"
        "Also protocol=NAME on the kernel command line, without flags.",
    .run = protocol_run,
    .complete = protocol_complete,
};
