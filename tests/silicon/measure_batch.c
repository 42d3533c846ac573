// SPDX-License-Identifier: MIT
/* What a batch of 1 to 256 sites costs by each protocol, while the other CPU runs through the same
 * sites. All sites lie in aligned quadwords, so that every protocol takes them. `steps` is the time
 * of writes and syncs, `prepare` the rest: checks, sorting, index, record; `elsewhere` is the whole
 * while the other CPU spins far from the sites, so that no cache line travels. Called by: main.c.
 */
#include "tests/silicon/measure.h"

#include "tests/silicon/executor.h"
#include "tests/silicon/machine.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"
#include "tests/silicon/samples.h"

#include <stdio.h>

enum {
    SIZES = 9, /* 1, 2, 4, ... 256 */
    BATCHES_MOST = 3000,
};

static struct samples totals;
static struct samples steps;
static double medians[PATCH_PROTOCOL_COUNT][SIZES];

static unsigned size_step(void)
{
    return options.quick ? (SIZES - 1) / 2 : 1;
}

static double steps_ns(const struct patch_record *record)
{
    uint64_t sum = 0;

    for (unsigned step = 0; step < PATCH_STEPS; step++) {
        sum += record->step_ns[step];
    }
    return (double)sum;
}

/* Flips the first @count sites until enough is known. Returns how many flips that took. */
static uint64_t flip_and_sample(const struct live_site *sites, size_t count,
                                enum patch_protocol_id protocol, uint64_t *traps, uint32_t *rounds)
{
    unsigned state = 0;
    uint64_t flips = 0;

    samples_begin(&totals);
    samples_begin(&steps);
    while (samples_wanted(&totals, BATCHES_MOST) || state != 0) {
        samples_start(&totals);
        state = 1 - state;

        const struct patch_record *record = &pool_flip(sites, count, state, protocol)->record;

        samples_keep(&totals, (double)record->total_ns);
        if (samples_accept(&totals)) {
            samples_add(&steps, steps_ns(record));
        }
        *traps += record->traps;
        *rounds = record->rounds;
        flips++;
    }
    return flips;
}

/* Median of the flips while the executor spins elsewhere, so that no line of the sites travels to
 * it. */
static void report_elsewhere(const struct live_site *sites, size_t count,
                             enum patch_protocol_id protocol)
{
    uint64_t traps = 0;
    uint32_t rounds = 0;

    executor_begin(NULL, 0);
    flip_and_sample(sites, count, protocol, &traps, &rounds);
    executor_end();
    samples_report_derived(&totals, "elsewhere_p50_ns", samples_quantile(&totals, 500));
}

static void batch_row(enum patch_protocol_id protocol, unsigned size)
{
    const struct live_site *sites = pool_sites(LIVE_IN_QUADWORD);
    size_t count = (size_t)1 << size;
    uint64_t traps = 0;
    uint32_t rounds = 0;

    report_progress("batch: %s, %zu sites", patch_protocol_name(protocol), count);
    executor_begin(sites, count);

    uint64_t flips = flip_and_sample(sites, count, protocol, &traps, &rounds);
    struct executor_counts counts = executor_counts_await();
    double total = samples_quantile(&totals, 500);
    double step = samples_quantile(&steps, 500);

    executor_end();
    medians[protocol][size] = total;
    report_text("protocol", patch_protocol_name(protocol));
    report_count("sites", count);
    report_count("rounds", rounds);
    samples_report_ns(&totals);
    samples_report_derived(&totals, "steps_p50_ns", step);
    samples_report_derived(&totals, "prepare_p50_ns", total - step);
    report_real("traps_per_flip", (double)traps / (double)flips);
    report_count("bad", counts.bad);
    report_elsewhere(sites, count, protocol);
    report_row();
}

/* Nothing is noted unless every size was measured. */
static void note_bars(void)
{
    const double *batch = medians[PATCH_PROTOCOL_INT3_BATCH];
    const double *qword = medians[PATCH_PROTOCOL_QWORD];
    double least = batch[0];
    double most = batch[0];

    bars.qword_ratio = batch[0] / qword[0];
    for (unsigned size = 0; size < SIZES; size += size_step()) {
        double ratio = batch[size] / qword[size];

        if (batch[size] <= 0 || qword[size] <= 0) {
            report_note("batch: too few samples: its bars are not judged");
            return;
        }
        least = batch[size] < least ? batch[size] : least;
        most = batch[size] > most ? batch[size] : most;
        bars.qword_ratio = ratio < bars.qword_ratio ? ratio : bars.qword_ratio;
    }
    bars.flat_percent = 100 * most / least - 100;
    bars.batch_was_measured = true;
}

void measure_batch(void)
{
    if (machine_cpu_count() < 2) {
        report_note("batch: not measured: needs a second CPU that runs through the sites");
        return;
    }
    report_begin("silicon.batch", "Batch: sites inside quadwords, the other CPU runs through them");
    for (unsigned protocol = 0; protocol < PATCH_PROTOCOL_COUNT; protocol++) {
        for (unsigned size = 0; size < SIZES; size += size_step()) {
            batch_row(protocol, size);
        }
    }
    note_bars();
}
