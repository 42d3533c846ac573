// SPDX-License-Identifier: MIT
/* The `pv` command: words to verbs, and those that switch paravirt ops. Invariant: what is refused
 * changes nothing and says why. */
#include "kernel/console.h"
#include "kernel/nearest_word.h"
#include "kernel/options.h"
#include "kernel/paravirt_switch.h"
#include "kernel/poke_table.h"
#include "kernel/pv_command.h"
#include "kernel/string.h"
#include "kernel/table.h"
#include "patching/indirect_thunk.h"
#include "patching/record.h"

/* ---- switches ---- */

/* What all ops have. */
struct all_ops {
    const struct paravirt_backend *bases[PARAVIRT_OP_COUNT];
    const struct paravirt_backend *layers[PARAVIRT_OP_COUNT];
    enum paravirt_form form;
};

static void all_ops_read(struct all_ops *all)
{
    all->form = paravirt_form();
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        all->bases[op] = paravirt_backend_of(op);
        all->layers[op] = paravirt_layer_of(op);
    }
}

/* How many have something else than @before. */
static unsigned count_changed(const struct all_ops *before)
{
    struct all_ops after;
    unsigned count = 0;

    all_ops_read(&after);
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        count += before->form != after.form || before->bases[op] != after.bases[op] ||
                 before->layers[op] != after.layers[op];
    }
    return count;
}

static void print_change(const char *who, unsigned ops, uint64_t newest, bool json)
{
    poke_table_print_cost(who, newest, json);
    if (json) {
        struct table table;

        table_begin(&table, "pv.change", json);
        table_row(&table);
        table_text(&table, "what", 0, who);
        table_number(&table, "ops", 0, ops);
        table_end_row(&table);
        table_end(&table);
        return;
    }
    console_print("%s: %u of %u ops changed\n", who, ops, PARAVIRT_OP_COUNT);
}

/* What is to be switched: op NULL: all ops; backend NULL: the form. */
struct wanted {
    const char *op;
    const struct paravirt_backend *backend;
    enum paravirt_form form;
};

static bool wanted_switch(const struct wanted *wanted, struct paravirt_refusal *refusal)
{
    if (wanted->backend == NULL) {
        return paravirt_switch_form(wanted->form, refusal);
    }
    return wanted->op != NULL ? paravirt_switch_op(wanted->op, wanted->backend, refusal)
                              : paravirt_switch_all(wanted->backend, refusal);
}

static const char *wanted_who(const struct wanted *wanted)
{
    if (wanted->backend == NULL) {
        return paravirt_form_who(wanted->form);
    }
    return wanted->op != NULL ? paravirt_switch_op_who(wanted->op)
                              : paravirt_switch_who(wanted->backend);
}

/* Sites have no room for a thunk of a register, and nothing but `pv` writes their slots. */
static void note_bare_calls(void)
{
    enum mitigation mitigation = mitigation_current();

    if (mitigation != MITIGATION_NONE) {
        console_print("note: these calls are bare: mitigation %s does not guard them\n",
                      mitigation_name(mitigation));
    }
}

/* Does it and shows what it cost. */
static enum command_result switch_run(const struct wanted *wanted, bool json)
{
    uint64_t newest = patch_record_newest();
    struct paravirt_refusal refusal;
    struct all_ops before;

    all_ops_read(&before);
    if (!wanted_switch(wanted, &refusal)) {
        console_print("pv: %s\n", refusal.text);
        return COMMAND_FAILED;
    }
    print_change(wanted_who(wanted), count_changed(&before), newest, json);
    if (!json && wanted->backend == NULL && wanted->form == PARAVIRT_INDIRECT) {
        note_bare_calls();
    }
    return COMMAND_OK;
}

/* ---- words ---- */

/* Returns the number of @word among @words, which NULL ends; -1, having said which there are, if it
 * is none. */
static int word_find(const char *word, const char *const *words)
{
    struct nearest_word nearest = {.word = word};

    for (int i = 0; words[i] != NULL; i++) {
        if (strcmp(words[i], word) == 0) {
            return i;
        }
        nearest_word_consider(&nearest, words[i]);
    }
    console_print("pv: '%s' is not one of", word);
    for (int i = 0; words[i] != NULL; i++) {
        console_print(" %s", words[i]);
    }
    if (nearest.best != NULL) {
        console_print("; did you mean '%s'?", nearest.best);
    }
    console_print("\n");
    return -1;
}

/* NULL, having said so, if there is none of that name. */
static const struct paravirt_backend *backend_of(const char *word)
{
    const char *names[PARAVIRT_BACKENDS_MAX + 1];
    int found;

    paravirt_backend_names(names);
    found = word_find(word, names);
    return found >= 0 ? paravirt_backend_at((unsigned)found) : NULL;
}

static enum command_result backend_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    struct wanted wanted = {.op = NULL};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1)) {
        return COMMAND_USAGE;
    }
    wanted.backend = backend_of(argv[1]);
    return wanted.backend != NULL ? switch_run(&wanted, json) : COMMAND_USAGE;
}

static enum command_result op_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    struct wanted wanted = {.op = NULL};

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 2, 2)) {
        return COMMAND_USAGE;
    }
    wanted.op = argv[1];
    wanted.backend = backend_of(argv[2]);
    return wanted.backend != NULL ? switch_run(&wanted, json) : COMMAND_USAGE;
}

static enum command_result form_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    struct wanted wanted = {.backend = NULL};
    int form;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1)) {
        return COMMAND_USAGE;
    }
    form = word_find(argv[1], paravirt_form_names);
    wanted.form = (enum paravirt_form)form;
    return form >= 0 ? switch_run(&wanted, json) : COMMAND_USAGE;
}

/* ---- the command ---- */

/* Each sees its words behind a title that names command and verb. */
static const struct verb {
    const char *name;
    char *title;
    enum command_result (*run)(int argc, char **argv);
} verbs[] = {
    {"backends", "pv backends", pv_backends_run},
    {"backend", "pv backend", backend_run},
    {"op", "pv op", op_run},
    {"form", "pv form", form_run},
    {"stats", "pv stats", pv_stats_run},
    {"locks", "pv locks", pv_locks_run},
};

static enum command_result pv_run(struct shell_session *session, int argc, char **argv)
{
    const char *names[ARRAY_COUNT(verbs) + 1] = {NULL};
    int found;

    (void)session;
    if (argc == 1 || argv[1][0] == '-') {
        return pv_list_run(argc, argv);
    }
    for (size_t i = 0; i < ARRAY_COUNT(verbs); i++) {
        names[i] = verbs[i].name;
    }
    found = word_find(argv[1], names);
    if (found < 0) {
        return COMMAND_USAGE;
    }
    argv[1] = verbs[found].title;
    return verbs[found].run(argc - 1, argv + 1);
}

/* What `pv op` takes: ops without a group, and groups, each once. */
static void ops_offer(struct shell_completion *completion)
{
    const char *last_group = "";

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const char *group = paravirt_ops[op].group;

        if (group == NULL) {
            shell_completion_offer(completion, paravirt_ops[op].name);
        } else if (strcmp(group, last_group) != 0) {
            shell_completion_offer(completion, group);
            last_group = group;
        }
    }
}

static void pv_complete(struct shell_completion *completion, int argument, char **argv)
{
    const char *verb = argument > 1 ? argv[1] : "";
    bool is_op = strcmp(verb, "op") == 0;
    bool is_stats = strcmp(verb, "stats") == 0;
    const char *names[PARAVIRT_BACKENDS_MAX + 1];

    for (size_t i = 0; argument == 1 && i < ARRAY_COUNT(verbs); i++) {
        shell_completion_offer(completion, verbs[i].name);
    }
    if (argument == 2 && strcmp(verb, "form") == 0) {
        shell_completion_offer_all(completion, paravirt_form_names);
    }
    if (argument == 2 && is_op) {
        ops_offer(completion);
    }
    for (unsigned op = 0; argument == 2 && is_stats && op < PARAVIRT_OP_COUNT; op++) {
        shell_completion_offer(completion, paravirt_ops[op].name);
    }
    if ((argument == 2 && strcmp(verb, "backend") == 0) || (argument == 3 && is_op)) {
        paravirt_backend_names(names);
        shell_completion_offer_all(completion, names);
    }
}

const struct shell_command command_pv = {
    .name = "pv",
    .summary = "paravirt ops: what each call of one is, counted; switch backend and form",
    .usage = "pv | pv backends | pv backend NAME | pv op NAME BACKEND | pv form FORM | "
             "pv stats [NAME] [--clear] | pv locks [-n N] [--clear] [-j]",
    .example = "pv op eoi native",
    .details =
        "An op is a thing that machines do in different ways: to turn interrupts off, to wait for\n"
        "a lock, to send an IPI. Each call of it is one instruction of six bytes, a site.\n"
        "pv: sites of each op, and what they are now, read from the text: indirect: call through\n"
        "a slot; direct: call of the way, a function; inline: the way's instruction itself.\n"
        "backend: whose way it is; group: ops that change only together, by that name; clobbers:\n"
        "what a call gives up besides its result; the last line sums up; other: none of these.\n"
        "pv backends: the backends, and their way of each op, or why they have none here.\n"
        "pv backend NAME: all ops, in one batch (int3-batch: 3 rounds); those it has no way for\n"
        "go native. counted is a layer: it is put over what each op has; others take it off.\n"
        "pv op NAME BACKEND: one op or group. pv form indirect|direct|inline: how far sites are\n"
        "patched; a way that is no instruction is called directly with inline, too. Calls of form\n"
        "indirect, and the layer's of what is below it, are bare under every mitigation.\n"
        "left: what a switch could not put back, for a thread may be inside an old way.\n"
        "A switch shows the record of its batch. Refused: nothing changes, and why is said.\n"
        "pv stats: calls and times of each op while it was counted, all CPUs together; of op or\n"
        "group NAME by CPU. Times are those of what is below the layer, with the price of reading\n"
        "the TSC; ops that let interrupts in include those that came at once; safe_halt: the time\n"
        "halted.\n"
        "pv locks: spinlocks by name, longest waits first, N names (20): how often taken, how\n"
        "often somebody else had it, time waited; then CPUs that halted for a lock, and how\n"
        "often each kicked another one that did.\n"
        "--clear: all these counts begin at 0; while nothing is counted, memory is given back.\n"
        "Tests (`test`) begin them at 0, too.\n"
        "Also pv=NAME and pv_form=FORM on the kernel command line; without pv=: kvm where CPUID\n"
        "says KVM, else native.",
    .run = pv_run,
    .complete = pv_complete,
};
