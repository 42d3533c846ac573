// SPDX-License-Identifier: MIT
/* How often a protocol breaks: bad executions per million updates (an update: one site changed)
 * while the other CPU does nothing but run through the sites. Wrong protocols, `naive` and int3
 * without its syncs, change one site at a time, so that updates and executions collide as often as
 * they can; right ones change 256 at once. Called by: main.c.
 *
 * Updates come in slices. One during which a thread was preempted is discarded: a patcher that
 * sleeps between two bytes would show thousands of bad executions for one update. Of a right
 * protocol every slice counts. A row without bad executions proves nothing if nobody was there: see
 * executions, and traps. */
#include "tests/silicon/measure.h"

#include "patching/platform.h"
#include "tests/host/live.h"
#include "tests/silicon/executor.h"
#include "tests/silicon/machine.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"
#include "tests/silicon/watch.h"

enum {
    WRONG_UPDATES = 1000000,
    RIGHT_UPDATES = 10000000,
    QUICK_SHARE = 50, /* of the updates, with --quick */
    SLICE_FLIPS = 100,
    WRONG_SECONDS_MOST = 3, /* a row; on a busy machine fewer updates than wanted are made */
    RIGHT_SECONDS_MOST = 8,
};

#define NS_PER_S 1000000000ull

static const struct trial {
    const char *name;
    enum patch_protocol_id protocol;
    bool without_sync;
    bool is_right;
} trials[] = {
    {"naive", PATCH_PROTOCOL_NAIVE, false, false},
    {"int3 without syncs", PATCH_PROTOCOL_INT3_BATCH, true, false},
    {"int3-batch", PATCH_PROTOCOL_INT3_BATCH, false, true},
    {"qword", PATCH_PROTOCOL_QWORD, false, true},
};

struct outcome {
    uint64_t updates;
    uint64_t traps;
    uint64_t discarded; /* slices */
    struct executor_counts counts;
};

static uint64_t now_ns(void)
{
    return platform_ticks_to_ns(platform_time_ticks());
}

static void outcome_add(struct outcome *outcome, const struct outcome *slice)
{
    outcome->updates += slice->updates;
    outcome->traps += slice->traps;
    outcome->counts.executions += slice->counts.executions;
    outcome->counts.bad += slice->counts.bad;
    outcome->counts.faults += slice->counts.faults;
}

static void slice_run(const struct live_site *sites, size_t count, const struct trial *trial,
                      struct outcome *outcome)
{
    struct outcome slice = {0};

    watch_begin();

    struct executor_counts before = executor_counts_await();

    live_set_sync(!trial->without_sync);
    for (unsigned flip = 0; flip < SLICE_FLIPS; flip++) {
        const struct patch_batch *batch = pool_flip(sites, count, 1 - flip % 2, trial->protocol);

        slice.updates += batch->record.sites;
        slice.traps += batch->record.traps;
    }
    live_set_sync(true);

    struct executor_counts after = executor_counts_await();
    bool was_preempted = !watch_end();

    slice.counts.executions = after.executions - before.executions;
    slice.counts.bad = after.bad - before.bad;
    slice.counts.faults = after.faults - before.faults;
    outcome->discarded += was_preempted;
    if (!was_preempted || trial->is_right) {
        outcome_add(outcome, &slice);
    }
}

/* @updates changes of sites, @count at a time: one of @parts of a row. */
static void update_many(const struct live_site *sites, size_t count, uint64_t updates,
                        const struct trial *trial, unsigned parts, struct outcome *outcome)
{
    uint64_t end = outcome->updates + updates;
    unsigned seconds = trial->is_right ? RIGHT_SECONDS_MOST : WRONG_SECONDS_MOST;
    uint64_t deadline = now_ns() + seconds * NS_PER_S / parts;

    executor_begin(sites, count);
    while (outcome->updates < end && now_ns() < deadline) {
        slice_run(sites, count, trial, outcome);
    }
    executor_end();
}

static struct outcome trial_run(const struct trial *trial, const struct live_site *sites)
{
    struct outcome outcome = {0};
    unsigned splits = live_form_detecting->length - 1u;
    uint64_t updates = trial->is_right ? RIGHT_UPDATES : WRONG_UPDATES;

    updates /= options.quick ? QUICK_SHARE : 1;
    if (trial->is_right) {
        update_many(sites, POOL_SITES, updates, trial, 1, &outcome);
    }
    for (unsigned split = 0; !trial->is_right && split < splits; split++) {
        update_many(&sites[split], 1, updates / splits, trial, splits, &outcome);
    }
    return outcome;
}

static void note_bars(const struct trial *trial, enum live_placement placement,
                      const struct outcome *outcome, double per_million)
{
    if (trial->protocol == PATCH_PROTOCOL_NAIVE && placement == LIVE_ACROSS_LINE) {
        bars.naive_bad = per_million;
        bars.naive_updates = outcome->updates;
    }
    if (trial->protocol == PATCH_PROTOCOL_INT3_BATCH && trial->is_right) {
        bars.batch_updates += outcome->updates;
        bars.batch_bad += outcome->counts.bad;
    }
    if (trial->protocol == PATCH_PROTOCOL_QWORD) {
        bars.qword_updates += outcome->updates;
        bars.qword_bad += outcome->counts.bad;
    }
}

static void trial_row(const struct trial *trial, enum live_placement placement)
{
    report_progress("broken: %s, %s", trial->name, live_placement_name(placement));

    struct outcome outcome = trial_run(trial, pool_sites(placement));
    double per_million =
        outcome.updates == 0 ? 0 : (double)outcome.counts.bad * 1e6 / (double)outcome.updates;

    note_bars(trial, placement, &outcome, per_million);
    report_text("protocol", trial->name);
    report_text("placement", live_placement_name(placement));
    report_count("updates", outcome.updates);
    report_count("discarded", outcome.discarded);
    report_count("executions", outcome.counts.executions);
    report_count("traps", outcome.traps);
    report_count("bad", outcome.counts.bad);
    report_count("faults", outcome.counts.faults);
    report_real("bad_per_million", per_million);
    report_row();
}

void measure_broken(void)
{
    if (machine_cpu_count() < 2) {
        report_note("broken: not measured: needs a second CPU that executes while this one writes");
        return;
    }
    report_begin("silicon.broken", "Bad executions: neither the old nor the new instruction");
    for (unsigned i = 0; i < sizeof(trials) / sizeof(trials[0]); i++) {
        for (unsigned placement = 0; placement < LIVE_PLACEMENTS; placement++) {
            if (trials[i].protocol != PATCH_PROTOCOL_QWORD || placement == LIVE_IN_QUADWORD) {
                trial_row(&trials[i], placement);
            }
        }
    }
}
