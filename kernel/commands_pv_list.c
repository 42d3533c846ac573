// SPDX-License-Identifier: MIT
/* `pv` and `pv backends`: paravirt ops and what the backends offer, listed. Invariant: what is
 * listed is read from the text, between two switches. Called by: commands_pv.c, which switches. */
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/paravirt_switch.h"
#include "kernel/pv_command.h"
#include "kernel/table.h"
#include "patching/platform.h"

#define BACKEND_TEXT_MAX 64

/* ---- pv: the ops ---- */

/* What one op has, and how many of its sites show each form. */
struct op_snapshot {
    const struct paravirt_backend *base, *layer;
    const struct paravirt_way *way;
    uint32_t shown[PARAVIRT_FORM_COUNT + 1]; /* the last one: none of the three */
};

struct snapshot {
    struct op_snapshot ops[PARAVIRT_OP_COUNT];
    enum paravirt_form form;
    struct paravirt_leftovers left;
};

/* Context: no patch lock held. The change lock: no switch comes in between. */
static void snapshot_take(struct snapshot *snapshot)
{
    *snapshot = (struct snapshot){.form = PARAVIRT_INLINE};
    platform_change_lock();
    snapshot->form = paravirt_form();
    snapshot->left = paravirt_leftovers();
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        snapshot->ops[op].base = paravirt_backend_of(op);
        snapshot->ops[op].layer = paravirt_layer_of(op);
        snapshot->ops[op].way = __atomic_load_n(&paravirt_ops[op].way, __ATOMIC_RELAXED);
    }
    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        snapshot->ops[site->op].shown[paravirt_site_shows(&paravirt_ops[site->op], site)]++;
    }
    platform_change_unlock();
}

static const char *backend_text(const struct op_snapshot *has, char text[BACKEND_TEXT_MAX])
{
    if (has->layer == NULL) {
        return has->base->name;
    }
    format_text(text, BACKEND_TEXT_MAX, "%s over %s", has->layer->name, has->base->name);
    return text;
}

static void text_or_none(struct table *table, const char *name, unsigned width, const char *text)
{
    if (text == NULL) {
        table_none(table, name, width);
    } else {
        table_text(table, name, width, text);
    }
}

static void print_shown(struct table *table, const uint32_t shown[PARAVIRT_FORM_COUNT + 1])
{
    for (unsigned form = 0; form < PARAVIRT_FORM_COUNT; form++) {
        table_number(table, paravirt_form_names[form], 6, shown[form]);
    }
}

static void op_print_row(struct table *table, enum paravirt_op_id id, const struct op_snapshot *has)
{
    const struct paravirt_op *op = &paravirt_ops[id];
    char text[BACKEND_TEXT_MAX];

    table_row(table);
    table_text(table, "op", 15, op->name);
    table_number(table, "sites", 5, op->site_count);
    print_shown(table, has->shown);
    table_text(table, "backend", 19, backend_text(has, text));
    if (table->json) {
        table_bool(table, "counted", 7, has->layer != NULL);
    }
    table_text(table, "way", 24, has->way->name);
    text_or_none(table, "instruction", 16, has->way->text);
    text_or_none(table, "group", 5, op->group);
    table_text(table, "clobbers", 9, op->clobbers);
    table_text(table, "signature", 0, op->signature);
    table_end_row(table);
}

/* Nothing, unless a switch had to leave something. */
static void print_left(const struct paravirt_leftovers *left)
{
    const char *retried = "the log says why; tried again by the next switch";

    if (left->halting_forbidden) {
        console_print("left: who waits for a lock may not halt, but spins: %s\n", retried);
    }
    if (left->clock_floor) {
        console_print("left: the clock's floor is in force: %s\n", retried);
    }
    if (left->ways != 0) {
        console_print("left: %u ways that no op goes are still prepared: %s\n", left->ways,
                      retried);
    }
}

static void print_total(const struct snapshot *snapshot, bool json)
{
    uint32_t shown[PARAVIRT_FORM_COUNT + 1] = {0};
    uint32_t sites = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        sites += paravirt_ops[op].site_count;
        for (unsigned form = 0; form <= PARAVIRT_FORM_COUNT; form++) {
            shown[form] += snapshot->ops[op].shown[form];
        }
    }
    if (json) {
        struct table table;

        table_begin(&table, "pv.total", json);
        table_row(&table);
        table_number(&table, "ops", 0, PARAVIRT_OP_COUNT);
        table_number(&table, "sites", 0, sites);
        print_shown(&table, shown);
        table_number(&table, "other", 0, shown[PARAVIRT_FORM_COUNT]);
        table_text(&table, "form", 0, paravirt_form_names[snapshot->form]);
        table_bool(&table, "halting_forbidden", 0, snapshot->left.halting_forbidden);
        table_bool(&table, "clock_floor", 0, snapshot->left.clock_floor);
        table_number(&table, "ways_left", 0, snapshot->left.ways);
        table_end_row(&table);
        table_end(&table);
        return;
    }
    console_print("%u ops, %u sites: %u indirect, %u direct, %u inline, %u other; form %s\n",
                  PARAVIRT_OP_COUNT, sites, shown[PARAVIRT_INDIRECT], shown[PARAVIRT_DIRECT],
                  shown[PARAVIRT_INLINE], shown[PARAVIRT_FORM_COUNT],
                  paravirt_form_names[snapshot->form]);
    print_left(&snapshot->left);
}

enum command_result pv_list_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    struct snapshot snapshot;
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    snapshot_take(&snapshot);
    table_begin(&table, "pv", json);
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        op_print_row(&table, op, &snapshot.ops[op]);
    }
    table_end(&table);
    print_total(&snapshot, json);
    return COMMAND_OK;
}

/* ---- pv backends ---- */

static void backend_print_row(struct table *table, const struct paravirt_backend *backend)
{
    uint64_t usable = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        usable += paravirt_backend_obstacle(backend, op) == NULL;
    }
    table_row(table);
    table_text(table, "name", 8, backend->name);
    table_number(table, "ops", 3, usable);
    table_bool(table, "layer", 5, backend->is_layer);
    table_bool(table, "kicks", 5, backend->kicks);
    table_text(table, "summary", 0, backend->summary);
    table_end_row(table);
}

static const struct paravirt_way *backend_own_way(const struct paravirt_backend *backend,
                                                  enum paravirt_op_id op)
{
    return backend == paravirt_backend_at(0) ? paravirt_native_ways[op] : backend->ways[op];
}

static void backend_print_ops(struct table *table, const struct paravirt_backend *backend)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const struct paravirt_way *way = backend_own_way(backend, op);

        table_row(table);
        table_text(table, "backend", 8, backend->name);
        table_text(table, "op", 15, paravirt_ops[op].name);
        text_or_none(table, "way", 24, way != NULL ? way->name : NULL);
        text_or_none(table, "instruction", 16, way != NULL ? way->text : NULL);
        text_or_none(table, "why_not", 0, paravirt_backend_obstacle(backend, op));
        table_end_row(table);
    }
}

enum command_result pv_backends_run(int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};
    const struct paravirt_backend *backend;
    struct table table;

    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
        return COMMAND_USAGE;
    }
    table_begin(&table, "pv.backend", json);
    for (unsigned i = 0; (backend = paravirt_backend_at(i)) != NULL; i++) {
        backend_print_row(&table, backend);
    }
    table_end(&table);
    table_begin(&table, "pv.backend.op", json);
    for (unsigned i = 0; (backend = paravirt_backend_at(i)) != NULL; i++) {
        backend_print_ops(&table, backend);
    }
    table_end(&table);
    return COMMAND_OK;
}
