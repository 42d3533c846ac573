// SPDX-License-Identifier: MIT
/* Reading histograms; adding is inline in the header, for the breakpoint handler. Invariant:
 * reading needs no lock, and of a histogram that grows meanwhile sees some recent state. Callers:
 * benches. */
#include "patching/histogram.h"

static uint64_t load(const uint64_t *value)
{
    return __atomic_load_n(value, __ATOMIC_RELAXED); /* partner: histogram_add(), no order needed */
}

void histogram_reset(struct histogram *histogram)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        __atomic_store_n(&histogram->buckets[i], 0, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&histogram->minimum, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&histogram->maximum, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&histogram->count, 0, __ATOMIC_RELAXED);
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    uint64_t count = load(&from->count);

    if (count == 0) {
        return;
    }
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        into->buckets[i] += __atomic_load_n(&from->buckets[i], __ATOMIC_RELAXED);
    }
    if (into->count == 0 || load(&from->minimum) < into->minimum) {
        into->minimum = load(&from->minimum);
    }
    if (load(&from->maximum) > into->maximum) {
        into->maximum = load(&from->maximum);
    }
    into->count += count;
}

/* The largest value that falls into @bucket. */
static uint64_t bucket_upper_edge(unsigned bucket)
{
    if (bucket < HISTOGRAM_SUB_BUCKETS) {
        return bucket;
    }
    unsigned shift = bucket / HISTOGRAM_SUB_BUCKETS - 1;
    uint64_t first = (uint64_t)(HISTOGRAM_SUB_BUCKETS + bucket % HISTOGRAM_SUB_BUCKETS) << shift;

    return first + ((uint64_t)1 << shift) - 1;
}

uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille)
{
    uint64_t count = load(&histogram->count);
    uint64_t maximum = load(&histogram->maximum);
    uint64_t rank = (count * per_mille + 999) / 1000; /* samples at or below the value wanted */
    uint64_t seen = 0;

    if (count == 0) {
        return 0;
    }
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS - 1; i++) {
        seen += __atomic_load_n(&histogram->buckets[i], __ATOMIC_RELAXED);
        if (seen > 0 && seen >= rank) {
            uint64_t edge = bucket_upper_edge(i);

            return edge < maximum ? edge : maximum;
        }
    }
    return maximum;
}
