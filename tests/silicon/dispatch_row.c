// SPDX-License-Identifier: MIT
/* See dispatch_row.h. The loops are the kernel's (`bench dispatch`). */
#include "tests/silicon/dispatch_row.h"

#include "bench/bench_dispatch_loops.h"
#include "patching/platform.h"
#include "tests/silicon/dispatch_auto.h"
#include "tests/silicon/machine.h"

static uint8_t numbers[DISPATCH_SEQUENCE];

static const char *const names[DISPATCH_SHAPES] = {
    [DISPATCH_CYCLES] = "cycles",       [DISPATCH_NOTHING] = "nothing",
    [DISPATCH_DIRECT] = "direct",       [DISPATCH_INDIRECT] = "indirect",
    [DISPATCH_RETPOLINE] = "retpoline",
};

const char *dispatch_way_name(enum dispatch_way way)
{
    if (way < DISPATCH_SHAPES) {
        return names[way];
    }
    return way == DISPATCH_AUTO ? "auto" : dispatcher_shape_name(way - DISPATCH_SHAPES);
}

static void must(enum patch_status status)
{
    if (status != PATCH_OK) {
        platform_fatal(patch_status_text(status), "dispatcher", PATCH_OK, status);
    }
}

void dispatch_row_fill(uint32_t entries)
{
    struct dispatcher_view view;

    dispatcher_look(&dispatcher_bench, &view);
    for (uint32_t i = entries; i < view.count; i++) {
        must(xdp_call_update(bench, dispatch_program(i), NULL, NULL));
    }
    for (uint32_t i = view.count; i < entries; i++) {
        must(xdp_call_update(bench, NULL, dispatch_program(i), NULL));
    }
}

void dispatch_row_prepare(struct dispatch_row *row)
{
    uint8_t hottest[DISPATCHER_ENTRY_MAX];

    dispatch_traffic_generate(row->traffic, row->entries, numbers);
    dispatch_loops_set(numbers);
    dispatch_traffic_hottest(numbers, row->entries, hottest);
    for (uint32_t i = 0; i < row->entries; i++) {
        row->hottest[i] = (uint64_t)dispatch_program(hottest[i])->function;
    }
}

void dispatch_row_choose(struct dispatch_row *row)
{
    struct dispatcher_view view;

    row->is_chosen = machine_cpu_count() > 1 && dispatch_auto_choose();
    if (!row->is_chosen) {
        return;
    }
    dispatcher_look(&dispatcher_bench, &view);
    row->chosen = view.shape;
    for (uint32_t i = 0; i < view.count; i++) {
        row->chosen_hottest[i] = view.entries[view.hottest[i]].target;
    }
}

bool dispatch_row_has(const struct dispatch_row *row, enum dispatch_way way)
{
    if (way == DISPATCH_DIRECT) {
        return row->traffic == DISPATCH_TRAFFIC_FIRST;
    }
    return way != DISPATCH_AUTO || row->is_chosen;
}

static void form_set(const struct dispatch_row *row, enum dispatch_way way)
{
    bool is_automatic = way == DISPATCH_AUTO;
    const struct dispatcher_form form = {
        .shape = is_automatic ? row->chosen : (enum dispatcher_shape)(way - DISPATCH_SHAPES),
        .hottest = is_automatic ? row->chosen_hottest : row->hottest,
        .hottest_count = row->entries,
        .generation = UINT64_MAX,
    };

    must(dispatcher_set_form(&dispatcher_bench, &form, NULL));
}

static dispatch_loop *way_prepare(const struct dispatch_row *row, enum dispatch_way way)
{
    static dispatch_loop *const loops[DISPATCH_SHAPES] = {
        [DISPATCH_NOTHING] = dispatch_loop_nothing,
        [DISPATCH_DIRECT] = dispatch_loop_direct,
        [DISPATCH_INDIRECT] = dispatch_loop_indirect,
        [DISPATCH_RETPOLINE] = dispatch_loop_retpoline,
    };

    if (way < DISPATCH_SHAPES) {
        return loops[way];
    }
    form_set(row, way);
    return dispatch_loop_dispatched;
}

static void way_time(struct dispatch_row *row, enum dispatch_way way)
{
    if (way == DISPATCH_CYCLES) {
        call_cell_time_chain(&row->cells[way]);
    } else {
        call_cell_time(&row->cells[way], way_prepare(row, way));
    }
}

void dispatch_row_time(struct dispatch_row *row)
{
    for (unsigned way = 0; way < DISPATCH_WAYS; way++) {
        if (dispatch_row_has(row, way)) {
            way_time(row, way);
        }
    }
}

double dispatch_row_ns(const struct dispatch_row *row, enum dispatch_way way)
{
    return call_cell_ns(&row->cells[way], &row->cells[DISPATCH_NOTHING]);
}

double dispatch_row_cycles(const struct dispatch_row *row, enum dispatch_way way)
{
    return call_cell_cycles(&row->cells[way], &row->cells[DISPATCH_NOTHING],
                            &row->cells[DISPATCH_CYCLES]);
}
