// SPDX-License-Identifier: MIT
/* See dispatch_row.h. The loops are the kernel's (`bench dispatch`). Before a block is timed, as
 * many calls are made as the predictors need to learn the image. */
#include "tests/silicon/dispatch_row.h"

#include "kernel/bench_dispatch_loops.h"
#include "patching/platform.h"
#include "tests/host/live_clock.h"
#include "tests/silicon/dispatch_auto.h"
#include "tests/silicon/loops.h"
#include "tests/silicon/machine.h"
#include "tests/silicon/samples.h"

#include <string.h>

enum {
    WARM_UP = 16384, /* calls */
    BLOCK = 16384,
    CHAINS = 4096,
};

static uint8_t numbers[DISPATCH_SEQUENCE];
static struct samples samples; /* of one cell */

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
        [DISPATCH_CYCLES] = loops_chain,
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

/* ns an iteration. */
static double block_time(dispatch_loop *loop, uint64_t iterations)
{
    uint64_t start = platform_time_ticks();

    loop(iterations);
    return live_clock_ns((double)(platform_time_ticks() - start)) / (double)iterations;
}

static void cell_keep(struct dispatch_cell *cell)
{
    if (samples.count > 0 && cell->count < DISPATCH_PASSES * DISPATCH_BLOCKS) {
        cell->ns[cell->count++] = samples.values[0];
    }
    cell->discarded += samples.discarded;
}

static void way_time(struct dispatch_row *row, enum dispatch_way way)
{
    dispatch_loop *loop = way_prepare(row, way);

    loop(WARM_UP);
    for (unsigned i = 0; i < DISPATCH_BLOCKS; i++) {
        samples_begin(&samples);
        samples_start(&samples);
        samples_keep(&samples, block_time(loop, way == DISPATCH_CYCLES ? CHAINS : BLOCK));
        samples_accept(&samples);
        cell_keep(&row->cells[way]);
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

/* Mean of the blocks but for the tenth that took longest; negative if there is nothing. Where
 * another thread shares the core, blocks come in two heaps, half as far apart as a call takes: a
 * quantile jumps from one heap to the other, a mean does not. */
static double cell_ns(const struct dispatch_cell *cell)
{
    uint32_t kept = cell->count - cell->count / 10;
    double sum = 0;

    if (kept == 0) {
        return -1;
    }
    samples_begin(&samples);
    memcpy(samples.values, cell->ns, cell->count * sizeof(cell->ns[0]));
    samples.count = cell->count;
    (void)samples_quantile(&samples, 0); /* sorts */
    for (uint32_t i = 0; i < kept; i++) {
        sum += samples.values[i];
    }
    return sum / kept;
}

double dispatch_row_ns(const struct dispatch_row *row, enum dispatch_way way)
{
    double nothing = cell_ns(&row->cells[DISPATCH_NOTHING]);
    double ns = cell_ns(&row->cells[way]);

    if (ns < 0 || nothing < 0) {
        return -1;
    }
    return ns > nothing ? ns - nothing : 0;
}

double dispatch_row_cycles(const struct dispatch_row *row, enum dispatch_way way)
{
    double cycle = cell_ns(&row->cells[DISPATCH_CYCLES]) / LOOPS_CHAIN;
    double ns = dispatch_row_ns(row, way);

    return ns < 0 || cycle <= 0 ? -1 : ns / cycle;
}
