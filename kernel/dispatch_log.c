// SPDX-License-Identifier: MIT
/* `dispatch NAME log`: what automatic choice has decided, and what it had measured. Invariant: a
 * cost that was not measured is shown as none. Called by: commands_dispatch.c; for
 * costs dyncall_log.c. */
#include "kernel/dispatch_command.h"
#include "kernel/format.h"
#include "kernel/table.h"
#include "patching/dispatcher_auto.h"

void dispatch_cost_cell(struct table *table, const char *name, uint64_t cost)
{
    if (cost != 0) {
        table_thousandths(table, name, 8,
                          (int64_t)(platform_ticks_to_ns(cost * 1000) / TRIAL_COST_UNIT));
    } else {
        table_none(table, name, 8);
    }
}

static void decision_print(struct table *table, const struct dispatcher *dispatcher,
                           const struct dispatcher_decision *decision)
{
    table_row(table);
    table_text(table, "name", 8, dispatcher->name);
    table_number(table, "sequence", 0, decision->sequence);
    table_time(table, "time_ns", 12, decision->time_ns);
    table_text(table, "reason", 8, dispatcher_reason_name(decision->reason));
    table_number(table, "entries", 0, decision->entries);
    table_text(table, "before", 11, dispatcher_shape_name(decision->before));
    table_text(table, "after", 11, dispatcher_shape_name(decision->after));
    table_number(table, "patches", 0, decision->patches);
    table_number(table, "samples", 0, decision->samples);
    table_number(table, "cpu", 0, decision->cpu);
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        char name[24];

        format_text(name, sizeof(name), "%s_ns", dispatcher_shape_name(shape));
        dispatch_cost_cell(table, name, decision->costs[shape]);
    }
    table_end_row(table);
}

void dispatch_log_print(struct dispatcher *dispatcher, bool json)
{
    uint64_t newest = dispatcher_auto_decided(dispatcher);
    uint64_t first = newest > DISPATCHER_DECISIONS ? newest - DISPATCHER_DECISIONS + 1 : 1;
    struct dispatcher_decision decision;
    struct table table;

    table_begin(&table, "dispatch.decision", json);
    for (uint64_t sequence = first; sequence <= newest; sequence++) {
        if (dispatcher_auto_decision(dispatcher, sequence, &decision)) {
            decision_print(&table, dispatcher, &decision);
        }
    }
    table_end(&table);
}
