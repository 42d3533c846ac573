// SPDX-License-Identifier: MIT
/* What a dynamic call costs, for each kind of sequence of targets: with its slots pinned, in both
 * forms, switched off, watched, and as learning chose, beside a direct call, an indirect one and
 * the retpoline. All rows, and all ways of a row, are measured in turn, as those of
 * measure_dispatch.c. Invariant: afterwards the calls are switched off. Called by: main.c. */
#include "tests/silicon/measure.h"

#include "tests/silicon/dyncall_auto.h"
#include "tests/silicon/dyncall_row.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"

static const enum dyncall_sequence quick[] = {
    DYNCALL_CONSTANT,
    DYNCALL_ROUND_ROBIN_4,
    DYNCALL_RANDOM_8,
};

static struct dyncall_row rows[DYNCALL_SEQUENCES];
static unsigned row_count;

static void rows_make(void)
{
    row_count = options.quick ? sizeof(quick) / sizeof(quick[0]) : DYNCALL_SEQUENCES;
    for (unsigned i = 0; i < row_count; i++) {
        rows[i].sequence = options.quick ? quick[i] : (enum dyncall_sequence)i;
    }
}

static void rows_for_each(const char *what, void (*measure)(struct dyncall_row *row))
{
    for (unsigned i = 0; i < row_count; i++) {
        report_progress("%s: %s", what, dyncall_sequence_name(rows[i].sequence));
        dyncall_row_prepare(&rows[i]);
        measure(&rows[i]);
    }
}

static void rows_measure(void)
{
    unsigned passes = call_cell_passes();
    unsigned missing = 0;

    rows_for_each("dyncall, auto", dyncall_row_choose);
    for (unsigned pass = 0; pass < passes; pass++) {
        rows_for_each("dyncall", dyncall_row_time);
    }
    dyncall_row_end();
    for (unsigned i = 0; i < row_count; i++) {
        missing += !rows[i].is_chosen;
    }
    if (missing > 0) {
        report_note("dyncall: auto: not measured: learning did not settle for %u rows", missing);
    }
}

/* Slots that learning fills, behind an open gate. */
static unsigned slots_chosen(const struct dyncall_row *row)
{
    unsigned slots = 0;

    while (row->is_chosen && row->chosen.is_open && slots < DYNAMIC_SLOTS_MAX &&
           row->chosen.targets.slot[slots] != 0) {
        slots++;
    }
    return slots;
}

/* One line for each way. */
static void row_report_json(const struct dyncall_row *row)
{
    for (enum dyncall_way way = DYNCALL_DIRECT; way < DYNCALL_WAYS; way++) {
        if (!dyncall_row_has(row, way)) {
            continue;
        }
        report_text("sequence", dyncall_sequence_name(row->sequence));
        report_text("way", dyncall_way_name(way));
        report_count("chosen_slots", way == DYNCALL_AUTO ? slots_chosen(row) : 0);
        call_cell_report(&row->cells[way], &row->cells[DYNCALL_NOTHING],
                         &row->cells[DYNCALL_CYCLES],
                         way < DYNCALL_RETPOLINE ? "none" : "retpoline");
    }
}

/* For people: all ways side by side, in cycles. */
static void row_report_table(const struct dyncall_row *row)
{
    report_text("sequence", dyncall_sequence_name(row->sequence));
    for (enum dyncall_way way = DYNCALL_DIRECT; way < DYNCALL_WAYS; way++) {
        report_figure(dyncall_way_name(way), dyncall_row_cycles(row, way));
    }
    report_count("chosen", slots_chosen(row));
    report_row();
}

static double pinned_worst(const struct dyncall_row *row)
{
    double worst = 0;

    for (enum dyncall_way way = DYNCALL_IMMEDIATE; way < DYNCALL_OFF; way++) {
        double ns = dyncall_row_ns(row, way);

        if (ns < 0) {
            return -1;
        }
        worst = ns > worst ? ns : worst;
    }
    return worst;
}

static void row_take_into_bars(const struct dyncall_row *row)
{
    const struct dyncall_figures figures = {
        .direct = dyncall_row_ns(row, DYNCALL_DIRECT),
        .retpoline = dyncall_row_ns(row, DYNCALL_RETPOLINE),
        .pinned = pinned_worst(row),
        .off = dyncall_row_ns(row, DYNCALL_OFF),
        .automatic = dyncall_row_ns(row, DYNCALL_AUTO),
    };

    if (row->sequence == DYNCALL_CONSTANT) {
        bars.dyncall_constant = figures;
    } else if (row->sequence == DYNCALL_RANDOM_8) {
        bars.dyncall_random = figures;
    }
}

void measure_dyncall(void)
{
    rows_make();
    dyncall_auto_initialize();
    rows_measure();
    report_begin("silicon.dyncall",
                 "Dynamic call: one call and return, net of the loop, in cycles");
    for (unsigned i = 0; i < row_count; i++) {
        if (options.json) {
            row_report_json(&rows[i]);
        } else {
            row_report_table(&rows[i]);
        }
        row_take_into_bars(&rows[i]);
    }
    bars.dyncall_was_measured = true;
}
