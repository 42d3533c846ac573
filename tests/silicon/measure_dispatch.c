// SPDX-License-Identifier: MIT
/* What a call of one of n programs costs: through a dispatcher of each shape, and of the shape that
 * automatic choice takes, beside a direct call, an indirect one and the retpoline, for each kind of
 * traffic. Here mispredictions exist.
 *
 * All rows, and all ways of a row, are measured in turn, pass by pass, so that whatever disturbs
 * the machine for a while disturbs none of them more than the others. Invariant: afterwards the
 * dispatcher is empty. Called by: main.c. */
#include "tests/silicon/measure.h"

#include "tests/silicon/dispatch_row.h"
#include "tests/silicon/machine.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"

enum {
    SIZES = 7,
    ROWS = SIZES * DISPATCH_TRAFFIC_COUNT,
};

static const uint32_t sizes[SIZES] = {1, 2, 4, 8, 16, 32, 64};
static const uint32_t sizes_quick[] = {1, 16};

static struct dispatch_row rows[ROWS];
static unsigned row_count;

static void rows_make(void)
{
    unsigned count = options.quick ? sizeof(sizes_quick) / sizeof(sizes_quick[0]) : SIZES;

    for (unsigned i = 0; i < count; i++) {
        for (enum dispatch_traffic traffic = 0; traffic < DISPATCH_TRAFFIC_COUNT; traffic++) {
            rows[row_count++] = (struct dispatch_row){
                .traffic = traffic,
                .entries = options.quick ? sizes_quick[i] : sizes[i],
            };
        }
    }
}

static void rows_for_each(const char *what, void (*measure)(struct dispatch_row *row))
{
    for (unsigned i = 0; i < row_count; i++) {
        report_progress("%s: %u entries, %s", what, rows[i].entries,
                        dispatch_traffic_name(rows[i].traffic));
        dispatch_row_fill(rows[i].entries);
        dispatch_row_prepare(&rows[i]);
        measure(&rows[i]);
    }
}

static void rows_measure(void)
{
    unsigned passes = call_cell_passes();
    unsigned missing = 0;

    rows_for_each("auto", dispatch_row_choose);
    for (unsigned pass = 0; pass < passes; pass++) {
        rows_for_each("dispatch", dispatch_row_time);
    }
    dispatch_row_fill(0);
    for (unsigned i = 0; i < row_count; i++) {
        missing += !rows[i].is_chosen;
    }
    if (machine_cpu_count() < 2) {
        report_note("dispatch: auto: not measured: it needs a second CPU that makes calls");
    } else if (missing > 0) {
        report_note("dispatch: auto: not measured: no decision in time for %u rows", missing);
    }
}

/* One line for each way. */
static void row_report_json(const struct dispatch_row *row)
{
    for (enum dispatch_way way = DISPATCH_DIRECT; way < DISPATCH_WAYS; way++) {
        if (!dispatch_row_has(row, way)) {
            continue;
        }
        report_count("entries", row->entries);
        report_text("traffic", dispatch_traffic_name(row->traffic));
        report_text("shape", dispatch_way_name(way));
        report_text("chosen", way == DISPATCH_AUTO ? dispatcher_shape_name(row->chosen) : "");
        call_cell_report(&row->cells[way], &row->cells[DISPATCH_NOTHING],
                         &row->cells[DISPATCH_CYCLES],
                         way < DISPATCH_RETPOLINE ? "none" : "retpoline");
    }
}

/* For people: all ways side by side, in cycles. */
static void row_report_table(const struct dispatch_row *row)
{
    report_text("traffic", dispatch_traffic_name(row->traffic));
    report_count("entries", row->entries);
    for (enum dispatch_way way = DISPATCH_DIRECT; way < DISPATCH_WAYS; way++) {
        report_figure(dispatch_way_name(way), dispatch_row_cycles(row, way));
    }
    report_text("chosen", row->is_chosen ? dispatcher_shape_name(row->chosen) : "-");
    report_row();
}

static void row_take_into_bars(const struct dispatch_row *row)
{
    struct dispatch_figures figures = {
        .traffic = row->traffic,
        .entries = row->entries,
        .retpoline = dispatch_row_ns(row, DISPATCH_RETPOLINE),
        .automatic = dispatch_row_ns(row, DISPATCH_AUTO),
        .best = dispatch_row_ns(row, DISPATCH_SHAPES),
    };

    for (enum dispatch_way way = DISPATCH_SHAPES; way < DISPATCH_AUTO; way++) {
        double ns = dispatch_row_ns(row, way);

        figures.best = ns < figures.best ? ns : figures.best;
    }
    dispatch_bars_add(&figures);
}

void measure_dispatch(void)
{
    rows_make();
    rows_measure();
    report_begin("silicon.dispatch", "Dispatcher: one call and return, net of the loop, in cycles");
    for (unsigned i = 0; i < row_count; i++) {
        if (options.json) {
            row_report_json(&rows[i]);
        } else {
            row_report_table(&rows[i]);
        }
        row_take_into_bars(&rows[i]);
    }
}
