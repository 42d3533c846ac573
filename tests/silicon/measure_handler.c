// SPDX-License-Identifier: MIT
/* What an int3 hit costs whoever runs into it: the handler of patching/ alone, and with the way
 * through the kernel and its signal. Measured on one thread, while a hold keeps int3 in place, so
 * nobody else disturbs it. In a kernel only the first part is paid, and a trap gate. Called by:
 * main.c. */
#include "tests/silicon/measure.h"

#include "patching/platform.h"
#include "patching/trap_statistics.h"
#include "tests/host/live.h"
#include "tests/host/live_clock.h"
#include "tests/silicon/report.h"
#include "tests/silicon/samples.h"

enum { HITS_MOST = 5000 };

static struct samples whole;
static size_t held_count;

static void hit_while_held(enum patch_step step, enum patch_moment moment)
{
    const struct live_site *sites = pool_sites(LIVE_IN_QUADWORD);

    if (step != PATCH_STEP_INT3 || moment != PATCH_MOMENT_SYNCED) {
        return;
    }
    samples_begin(&whole);
    for (size_t i = 0; samples_wanted(&whole, HITS_MOST); i++) {
        const struct live_site *site = &sites[i % held_count];

        samples_start(&whole);

        uint64_t start = platform_time_ticks();
        uint32_t result = site->run();
        uint64_t ticks = platform_time_ticks() - start;

        if (result != site->results[1]) {
            platform_fatal("emulated wrongly", (const void *)site->address, site->results[1],
                           result);
        }
        samples_keep(&whole, live_clock_ns((double)ticks));
        samples_accept(&whole);
    }
}

static double handler_ns(const struct histogram *times, unsigned per_mille)
{
    return live_clock_ns((double)histogram_quantile(times, per_mille));
}

static void handler_rows(size_t count)
{
    static struct histogram times;
    const struct live_site *sites = pool_sites(LIVE_IN_QUADWORD);

    report_progress("handler: %zu sites", count);
    held_count = count;
    patch_trap_times_reset();
    histogram_reset(&times);
    live_set_hold(hit_while_held);
    pool_flip(sites, count, 1, PATCH_PROTOCOL_INT3_BATCH);
    live_set_hold(NULL);
    patch_trap_times_merge(&times);
    pool_flip(sites, count, 0, PATCH_PROTOCOL_INT3_BATCH);
    report_text("what", "handler alone");
    report_count("sites", count);
    report_count("n", times.count);
    report_none("discarded"); /* it keeps its own histogram, of all hits */
    report_real("min_ns", live_clock_ns((double)times.minimum));
    report_real("p50_ns", handler_ns(&times, 500));
    report_real("p99_ns", handler_ns(&times, 990));
    report_real("max_ns", live_clock_ns((double)times.maximum));
    report_row();
    report_text("what", "with kernel and signal");
    report_count("sites", count);
    samples_report_ns(&whole);
    report_row();
}

void measure_handler(void)
{
    report_begin("silicon.handler", "Handler: one int3 hit, emulated");
    handler_rows(1);
    handler_rows(POOL_SITES);
}
