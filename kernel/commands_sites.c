// SPDX-License-Identifier: MIT
/* Shell commands about the text that is patched: sites, plan. They use the public API of patching/
 * alone. */
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/paravirt_backends.h"
#include "kernel/patch_error_text.h"
#include "kernel/patchable.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/instruction.h"

/* What a site has beyond its bytes; all NULL: nothing. */
struct site_detail {
    const char *text;   /* what the bytes say, if instruction_decode() does not know */
    const char *column; /* a last column, and what stands there */
    const char *value;
};

static const struct site_detail no_detail;

static void site_print_row(struct table *table, const char *name, uint64_t address, size_t length,
                           const struct site_detail *detail)
{
    char symbol[SYMBOL_TEXT_MAX];
    char bytes[PATCH_BYTES_TEXT_MAX];
    char text[INSTRUCTION_TEXT_SIZE];
    uint8_t copy[PATCH_SITE_LENGTH_MAX];
    struct instruction instruction;
    memcpy(copy, (const void *)address, length);
    bool known = instruction_decode(copy, length, address, &instruction) == PATCH_OK;
    table_row(table);
    table_text(table, "key", 12, name);
    table_hex(table, "addr", 18, address);
    table_text(table, "symbol", 34, symbol_describe(address, symbol, sizeof(symbol)));
    table_number(table, "len", 3, length);
    table_text(table, "bytes", 14, patch_bytes_text(copy, length, bytes));
    if (detail->text != NULL || !known) {
        format_text(text, sizeof(text), "%s",
                    detail->text != NULL ? detail->text : "(being patched)");
    } else {
        instruction_text(&instruction, text, sizeof(text));
    }
    table_text(table, "insn", detail->column != NULL ? 23 : 0, text);
    if (detail->column != NULL) {
        table_text(table, detail->column, 0, detail->value);
    }
    table_end_row(table);
}

/* The stub itself is never patched. */
static void lazy_print_sites(struct table *table, const struct lazy_call *call)
{
    struct lazy_call_site site = {0};
    while (lazy_call_site_next(call, site.address, &site)) {
        const struct site_detail state = {NULL, "state", lazy_site_state_name(site.state)};
        site_print_row(table, call->name, site.address, INSN_CALL32_LENGTH, &state);
    }
}

static void call_print_sites(struct table *table, const struct static_call *call)
{
    site_print_row(table, call->name, call->trampoline, INSN_JMP32_LENGTH, &no_detail);
    for (uint32_t i = 0; i < call->site_count; i++) {
        site_print_row(table, call->name, call->sites[i].address, call->sites[i].length,
                       &no_detail);
    }
}

static void key_print_sites(struct table *table, const struct static_key *key)
{
    for (uint32_t i = 0; i < key->site_count; i++) {
        site_print_row(table, key->name, key->sites[i].address, key->sites[i].length, &no_detail);
    }
}

/* Gate and watch; then slot by slot the comparisons, under the name of the whole, and the call. */
static void dynamic_print_sites(struct table *table, const struct dynamic_call *call)
{
    key_print_sites(table, call->gate);
    key_print_sites(table, call->watch);
    for (uint32_t i = 0; i < call->slot_count; i++) {
        const struct dynamic_call_slot *slot = &call->slots[i];
        for (uint32_t site = 0; site < slot->site_count; site++) {
            site_print_row(table, call->name, slot->sites[site].address, INSN_COMPARE_LENGTH,
                           &no_detail);
        }
        call_print_sites(table, slot->call);
    }
}

/* An inlined instruction is known by its way alone: it may be any. */
static void op_print_sites(struct table *table, const struct paravirt_op *op)
{
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        enum paravirt_form form = paravirt_site_shows(op, site);
        struct site_detail detail = {NULL, "form", "changing"};
        if (&paravirt_ops[site->op] != op) {
            continue;
        }
        if (form < PARAVIRT_FORM_COUNT) {
            detail.value = paravirt_form_names[form];
        }
        if (form == PARAVIRT_INLINE) {
            detail.text = __atomic_load_n(&op->way, __ATOMIC_RELAXED)->text;
        }
        site_print_row(table, op->name, site->address, PARAVIRT_SITE_LENGTH, &detail);
    }
}

static enum command_result sites_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 1, 1)) {
        return COMMAND_USAGE;
    }
    struct patchable found;
    if (!patchable_find("sites", PATCHABLE_COMPOUND, argv[1], &found)) {
        return COMMAND_FAILED;
    }
    struct table table;
    table_begin(&table, "site", json);
    if (found.kind == PATCHABLE_KEY) {
        key_print_sites(&table, found.key);
    } else if (found.kind == PATCHABLE_LAZY) {
        lazy_print_sites(&table, found.lazy);
    } else if (found.kind == PATCHABLE_DYNAMIC) {
        dynamic_print_sites(&table, found.dynamic);
    } else if (found.kind == PATCHABLE_OP) {
        op_print_sites(&table, found.op);
    } else {
        call_print_sites(&table, found.call);
    }
    table_end(&table);
    return COMMAND_OK;
}

static void sites_complete(struct shell_completion *completion, int argument, char **argv)
{
    (void)argv;
    if (argument == 1) {
        patchable_complete(completion, PATCHABLE_COMPOUND);
    }
}

const struct shell_command command_sites = {
    .name = "sites",
    .summary = "what is patched for a key, call or op: where, which bytes, which instruction",
    .usage = "sites NAME [-j]",
    .example = "sites sched_stats",
    .details =
        "len in bytes. Bytes are read from the running text. Of a static call the first row is\n"
        "its trampoline, the others are the calls that the link-time pass found. Of a lazy call\n"
        "all are calls that were executed; state: patched, pending (waits for a batch), given up\n"
        "(failed too often). Of a dynamic call: gate, watch key, then slot by slot the\n"
        "comparisons and the static call behind them. Of a paravirt op: its calls, and their\n"
        "form; pv_NAME stands for op NAME where a call has that name, too.",
    .run = sites_run,
    .complete = sites_complete,
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
    table_text(table, "old", 14, patch_bytes_text(site->old_bytes, site->length, old_text));
    table_text(table, "new", 14, patch_bytes_text(site->new_bytes, site->length, new_text));
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

/* The change that @word means. */
struct planned {
    struct patchable object;
    bool enable;
    patchable_target *target;
    const struct paravirt_way *way;
};

/* What `pv op` would let the op go. */
static bool planned_way_find(const char *word, struct planned *planned)
{
    const struct paravirt_backend *backend = paravirt_backend_find(word);
    enum paravirt_op_id op = (enum paravirt_op_id)(planned->object.op - paravirt_ops);
    const char *obstacle;

    if (backend == NULL) {
        console_print("plan: no backend is called '%s'; `pv backend` lists them\n", word);
        return false;
    }
    obstacle = paravirt_backend_obstacle(backend, op);
    if (obstacle != NULL) {
        console_print("plan: op %s cannot go to %s: %s\n", paravirt_ops[op].name, word, obstacle);
        return false;
    }
    planned->way = paravirt_backend_way(backend, op);
    return true;
}

static bool planned_find(const char *word, struct planned *planned)
{
    if (planned->object.kind == PATCHABLE_OP) {
        return planned_way_find(word, planned);
    }
    if (planned->object.kind != PATCHABLE_KEY) {
        return patchable_target_find("plan", &planned->object, word, &planned->target);
    }
    planned->enable = strcmp(word, "on") == 0;
    if (planned->enable || strcmp(word, "off") == 0) {
        return true;
    }
    console_print("plan: '%s' is not one of on, off\n", word);
    return false;
}

static enum patch_status planned_plan(const struct planned *planned, struct table *table,
                                      struct patch_plan *plan, struct patch_error *error)
{
    if (planned->object.kind == PATCHABLE_LAZY) {
        return lazy_call_plan(planned->object.lazy, planned->target, plan_print_site, table, plan,
                              error);
    }
    if (planned->object.kind == PATCHABLE_CALL) {
        return static_call_plan(planned->object.call, planned->target, plan_print_site, table, plan,
                                error);
    }
    if (planned->object.kind == PATCHABLE_OP) {
        return paravirt_plan(planned->object.op, planned->way, plan_print_site, table, plan, error);
    }
    return static_key_plan(planned->object.key, planned->enable, plan_print_site, table, plan,
                           error);
}

static enum command_result plan_run(struct shell_session *session, int argc, char **argv)
{
    (void)session;
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 2, 2)) {
        return COMMAND_USAGE;
    }
    struct planned planned = {0};
    if (!patchable_find("plan", PATCHABLE_ALL, argv[1], &planned.object)) {
        return COMMAND_FAILED;
    }
    if (!planned_find(argv[2], &planned)) {
        return COMMAND_USAGE;
    }
    struct patch_plan plan;
    struct patch_error error;
    struct table table;
    table_begin(&table, "plan.site", json);
    enum patch_status status = planned_plan(&planned, &table, &plan, &error);
    table_end(&table);
    if (status != PATCH_OK) {
        char text[PATCH_ERROR_TEXT_MAX];
        console_print("plan: %s %s would be refused: %s\n", argv[1], argv[2],
                      patch_error_text(&error, text));
        return COMMAND_FAILED;
    }
    plan_print_total(argv[1], &plan, json);
    return COMMAND_OK;
}

static void backends_complete(struct shell_completion *completion)
{
    const struct paravirt_backend *backend;

    for (unsigned i = 0; (backend = paravirt_backend_at(i)) != NULL; i++) {
        shell_completion_offer(completion, backend->name);
    }
}

static void plan_complete(struct shell_completion *completion, int argument, char **argv)
{
    static const char *const verbs[] = {"on", "off", NULL};
    if (argument == 1) {
        patchable_complete(completion, PATCHABLE_ALL);
    }
    if (argument == 2 && static_key_find(argv[1]) != NULL) {
        shell_completion_offer_all(completion, verbs);
    } else if (argument == 2 && patchable_is_op(argv[1])) {
        backends_complete(completion);
    } else if (argument == 2) {
        patchable_targets_complete(completion, argv[1]);
    }
}

const struct shell_command command_plan = {
    .name = "plan",
    .summary = "what a change would write, byte for byte, without doing it",
    .usage = "plan KEY on|off | plan CALL TARGET | plan OP BACKEND [-j]",
    .example = "plan bench_4 on",
    .details =
        "rounds: times all CPUs would be serialised (or parked) by the default protocol; ipis:\n"
        "interrupts that would take. TARGET: as `help call` says; BACKEND: as `help pv`.",
    .run = plan_run,
    .complete = plan_complete,
};
