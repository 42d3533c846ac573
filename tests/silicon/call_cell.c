// SPDX-License-Identifier: MIT
/* See call_cell.h. */
#include "tests/silicon/call_cell.h"

#include "patching/platform.h"
#include "tests/host/live_clock.h"
#include "tests/silicon/loops.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"
#include "tests/silicon/samples.h"

#include <string.h>

enum {
    PASSES_QUICK = 2,
    WARM_UP = 16384, /* calls */
    BLOCK = 16384,
    CHAINS = 4096,
};

static struct samples samples; /* of one cell */

/* ns an iteration. */
static double block_time(dispatch_loop *loop, uint64_t iterations)
{
    uint64_t start = platform_time_ticks();

    loop(iterations);
    return live_clock_ns((double)(platform_time_ticks() - start)) / (double)iterations;
}

static void cell_keep(struct call_cell *cell)
{
    if (samples.count > 0 && cell->count < CALL_CELL_PASSES * CALL_CELL_BLOCKS) {
        cell->ns[cell->count++] = samples.values[0];
    }
    cell->discarded += samples.discarded;
}

static void cell_time(struct call_cell *cell, dispatch_loop *loop, uint64_t iterations)
{
    loop(WARM_UP);
    for (unsigned i = 0; i < CALL_CELL_BLOCKS; i++) {
        samples_begin(&samples);
        samples_start(&samples);
        samples_keep(&samples, block_time(loop, iterations));
        samples_accept(&samples);
        cell_keep(cell);
    }
}

void call_cell_time(struct call_cell *cell, dispatch_loop *loop)
{
    cell_time(cell, loop, BLOCK);
}

void call_cell_time_chain(struct call_cell *cell)
{
    cell_time(cell, loops_chain, CHAINS);
}

/* Mean of the blocks but for the tenth that took longest; negative if there is nothing. Where
 * another thread shares the core, blocks come in two heaps, half as far apart as a call takes: a
 * quantile jumps from one heap to the other, a mean does not. */
static double cell_mean(const struct call_cell *cell)
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

double call_cell_ns(const struct call_cell *cell, const struct call_cell *nothing)
{
    double without = cell_mean(nothing);
    double ns = cell_mean(cell);

    if (ns < 0 || without < 0) {
        return -1;
    }
    return ns > without ? ns - without : 0;
}

double call_cell_cycles(const struct call_cell *cell, const struct call_cell *nothing,
                        const struct call_cell *chain)
{
    double cycle = cell_mean(chain) / LOOPS_CHAIN;
    double ns = call_cell_ns(cell, nothing);

    return ns < 0 || cycle <= 0 ? -1 : ns / cycle;
}

void call_cell_report(const struct call_cell *cell, const struct call_cell *nothing,
                      const struct call_cell *chain, const char *mitigation)
{
    report_text("mitigation", mitigation);
    report_count("n", cell->count);
    report_count("discarded", cell->discarded);
    report_figure("ns", call_cell_ns(cell, nothing));
    report_figure("cycles", call_cell_cycles(cell, nothing, chain));
    report_row();
}

unsigned call_cell_passes(void)
{
    return options.quick ? PASSES_QUICK : CALL_CELL_PASSES;
}
