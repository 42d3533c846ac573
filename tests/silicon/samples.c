// SPDX-License-Identifier: MIT
/* See samples.h. */
#include "tests/silicon/samples.h"

#include "patching/platform.h"
#include "tests/silicon/options.h"
#include "tests/silicon/report.h"
#include "tests/silicon/watch.h"

#include <stdlib.h>

enum {
    TIME_NS = 200000000,
    TIME_QUICK_NS = TIME_NS / 5,
    FEW = 20,
    PATIENCE = 3, /* times as long */
};

static uint64_t now_ns(void)
{
    return platform_ticks_to_ns(platform_time_ticks());
}

void samples_begin(struct samples *samples)
{
    samples->count = 0;
    samples->pending = 0;
    samples->discarded = 0;
    samples->start_ns = now_ns();
    samples->time_ns = options.quick ? TIME_QUICK_NS : TIME_NS;
}

bool samples_wanted(const struct samples *samples, uint32_t most)
{
    uint64_t patience_ns = samples->time_ns * (samples->count < FEW ? PATIENCE : 1);

    return samples->count < most && samples->count < SAMPLES_MAX &&
           now_ns() < samples->start_ns + patience_ns;
}

void samples_start(struct samples *samples)
{
    samples->pending = 0;
    watch_begin();
}

void samples_keep(struct samples *samples, double value)
{
    if (samples->count + samples->pending < SAMPLES_MAX) {
        samples->values[samples->count + samples->pending++] = value;
    }
}

bool samples_accept(struct samples *samples)
{
    bool accepted = watch_end();

    if (accepted) {
        samples->count += samples->pending;
    } else {
        samples->discarded++;
    }
    samples->pending = 0;
    return accepted;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a;
    double right = *(const double *)b;

    return (left > right) - (left < right);
}

void samples_add(struct samples *samples, double value)
{
    samples_keep(samples, value);
    samples->count += samples->pending;
    samples->pending = 0;
}

void samples_subtract(struct samples *samples, double amount)
{
    for (uint32_t i = 0; i < samples->count; i++) {
        samples->values[i] -= amount;
    }
}

double samples_quantile(struct samples *samples, unsigned per_mille)
{
    if (samples->count == 0) {
        return 0;
    }
    qsort(samples->values, samples->count, sizeof(double), compare);
    return samples->values[(uint64_t)(samples->count - 1) * per_mille / 1000];
}

void samples_report_ns(struct samples *samples)
{
    report_count("n", samples->count);
    report_count("discarded", samples->discarded);
    samples_report_derived(samples, "min_ns", samples_quantile(samples, 0));
    samples_report_derived(samples, "p50_ns", samples_quantile(samples, 500));
    samples_report_derived(samples, "p99_ns", samples_quantile(samples, 990));
    samples_report_derived(samples, "max_ns", samples_quantile(samples, 1000));
}

void samples_report_derived(const struct samples *samples, const char *name, double value)
{
    if (samples->count > 0) {
        report_real(name, value);
    } else {
        report_none(name);
    }
}
