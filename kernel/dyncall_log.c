// SPDX-License-Identifier: MIT
/* `dyncall NAME log`: what learning has decided, and what it knew. Invariant: what was not timed is
 * shown as none. Called by: commands_dyncall.c. */
#include "kernel/dispatch_command.h"
#include "kernel/dyncall_command.h"
#include "kernel/format.h"
#include "kernel/options.h"

#define LIST_MAX 480

void dyncall_targets_cell(struct table *table, const char *name, unsigned width,
                          const struct dynamic_targets *targets)
{
    char texts[DYNAMIC_SLOTS_MAX][SYMBOL_TEXT_MAX];
    const char *names[DYNAMIC_SLOTS_MAX];
    char list[LIST_MAX] = "";
    size_t count = 0, length = 0;

    for (unsigned i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        if (targets->slot[i] != 0) {
            names[count] = dispatch_target_text(targets->slot[i], texts[count]);
            length += format_text(list + length, sizeof(list) - length, "%s%s",
                                  count == 0 ? "" : ", ", names[count]);
            count++;
        }
    }
    if (table->json) {
        table_texts(table, name, width, names, count);
    } else {
        table_text(table, name, width, count == 0 ? "-" : list);
    }
}

static uint64_t share_permille(const struct dynamic_decision *decision, unsigned index)
{
    return decision->scores[index].calls * 1000 / decision->score_total;
}

/* Whose calls the decision is about: names and shares; for people in one column. */
static void scores_cells(struct table *table, const struct dynamic_decision *decision)
{
    char texts[DYNAMIC_SLOTS_MAX + 1][SYMBOL_TEXT_MAX];
    const char *names[DYNAMIC_SLOTS_MAX + 1];
    uint64_t shares[DYNAMIC_SLOTS_MAX + 1];
    char list[LIST_MAX] = "";
    size_t count = 0, length = 0;

    for (unsigned i = 0; i < ARRAY_COUNT(names) && decision->score_total != 0; i++) {
        if (decision->scores[i].target != 0) {
            names[count] = dispatch_target_text(decision->scores[i].target, texts[count]);
            shares[count] = share_permille(decision, i);
            length += format_text(list + length, sizeof(list) - length, "%s%s %u.%u%%",
                                  count == 0 ? "" : ", ", names[count],
                                  (unsigned)shares[count] / 10, (unsigned)shares[count] % 10);
            count++;
        }
    }
    if (table->json) {
        table_texts(table, "called", 0, names, count);
        table_numbers(table, "permille", 0, shares, count);
        table_number(table, "score_total", 0, decision->score_total);
    } else {
        table_text(table, "called", 0, count == 0 ? "-" : list);
    }
}

static void decision_print(struct table *table, const struct dynamic_call *call,
                           const struct dynamic_decision *decision)
{
    table_row(table);
    table_text(table, "name", 20, call->name);
    table_number(table, "sequence", 8, decision->sequence);
    table_time(table, "time_ns", 12, decision->time_ns);
    table_text(table, "before", 8, dynamic_state_name(decision->before));
    table_text(table, "after", 8, dynamic_state_name(decision->after));
    table_text(table, "reason", 13, dynamic_reason_name(decision->reason));
    table_number(table, "batches", 7, decision->batches);
    table_time(table, "cost_ns", 8, decision->cost_ns);
    dispatch_cost_cell(table, "slow_ns", decision->costs[DYNAMIC_WAY_SLOW]);
    dispatch_cost_cell(table, "chain_ns", decision->costs[DYNAMIC_WAY_CHAIN]);
    dispatch_cost_cell(table, "saving_ns", decision->saving);
    if (decision->break_even_calls != UINT64_MAX) {
        table_number(table, "break_even_calls", 0, decision->break_even_calls);
    } else {
        table_none(table, "break_even_calls", 0);
    }
    dyncall_targets_cell(table, "old_targets", 16, &decision->old_targets);
    dyncall_targets_cell(table, "new_targets", 16, &decision->new_targets);
    scores_cells(table, decision);
    table_end_row(table);
}

void dyncall_log_print(struct dynamic_call *call, bool json)
{
    static struct dynamic_decision decision; /* the shell's */
    struct dynamic_auto_view view;
    struct table table;

    dynamic_auto_look(call, &view);
    table_begin(&table, "dyncall.decision", json);
    uint64_t first = view.decided > DYNAMIC_DECISIONS ? view.decided - DYNAMIC_DECISIONS + 1 : 1;

    for (uint64_t sequence = first; sequence <= view.decided; sequence++) {
        if (dynamic_auto_decision(call, sequence, &decision)) {
            decision_print(&table, call, &decision);
        }
    }
    table_end(&table);
}
