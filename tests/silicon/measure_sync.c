// SPDX-License-Identifier: MIT
/* What it takes to make the other CPU serialise, and this one. Called by: main.c. */
#include "tests/silicon/measure.h"

#include "patching/platform.h"
#include "tests/host/live_clock.h"
#include "tests/host/live_stop.h"
#include "tests/silicon/executor.h"
#include "tests/silicon/machine.h"
#include "tests/silicon/report.h"
#include "tests/silicon/samples.h"

#include <cpuid.h>

enum {
    SYNCS_MOST = 5000,
    REPEATS = 100, /* of what is too short for the clock */
};

static struct samples samples;

static void sync_once(void)
{
    struct platform_round round = {0};

    if (!platform_sync_cores(&round)) {
        platform_fatal("no sync", NULL, 0, 0);
    }
}

static void park_once(void)
{
    struct platform_round round = {0};

    if (!platform_stop_cpus(&round)) {
        platform_fatal("the executor cannot be parked", NULL, 0, round.silent_cpu);
    }
    platform_release_cpus();
}

static void cpuid_once(void)
{
    unsigned eax;
    unsigned ebx;
    unsigned ecx;
    unsigned edx;

    __cpuid(0, eax, ebx, ecx, edx);
    __asm__ volatile("" ::"r"(eax), "r"(ebx), "r"(ecx), "r"(edx));
}

static void time_calls(const char *what, void (*call)(void), unsigned repeats)
{
    report_progress("sync: %s", what);
    samples_begin(&samples);
    while (samples_wanted(&samples, SYNCS_MOST)) {
        samples_start(&samples);

        uint64_t start = platform_time_ticks();

        for (unsigned i = 0; i < repeats; i++) {
            call();
        }
        samples_keep(&samples, live_clock_ns((double)(platform_time_ticks() - start)) / repeats);
        samples_accept(&samples);
    }
    report_text("what", what);
    samples_report_ns(&samples);
    report_row();
}

void measure_sync(void)
{
    report_begin("silicon.sync", "Sync: one round, until every CPU has serialised");
    if (machine_cpu_count() > 1) {
        executor_begin(NULL, 0);
        time_calls("membarrier, busy", sync_once, 1);
        time_calls("signal, busy", park_once, 1);
        executor_end();
        executor_begin(pool_sites(LIVE_IN_QUADWORD), POOL_SITES);
        time_calls("membarrier, in sites", sync_once, 1);
        executor_end();
    }
    time_calls("membarrier, alone", sync_once, 1);
    time_calls("IRET to itself", live_serialize, REPEATS);
    time_calls("CPUID", cpuid_once, REPEATS);
}
