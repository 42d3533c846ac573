// SPDX-License-Identifier: MIT
/* Log-linear histogram, 16 sub-buckets an octave: at most 6.25 % error, static storage. Invariant:
 * the sum of the buckets equals the count, as long as there is one writer. Used by: the breakpoint
 * handler (which inlines histogram_add() and calls nothing else here), benches. */
#pragma once

#include <stdint.h>

enum {
    HISTOGRAM_SUB_BITS = 4,
    HISTOGRAM_SUB_BUCKETS = 1 << HISTOGRAM_SUB_BITS,
    HISTOGRAM_VALUE_BITS = 40, /* larger values share the last bucket; maximum stays exact */
    HISTOGRAM_BUCKETS = (HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) * HISTOGRAM_SUB_BUCKETS,
};

struct histogram { /* all zero = empty */
    uint64_t count;
    uint64_t minimum;
    uint64_t maximum;
    uint32_t buckets[HISTOGRAM_BUCKETS];
};

static inline unsigned histogram_bucket(uint64_t value)
{
    if (value < HISTOGRAM_SUB_BUCKETS) {
        return (unsigned)value;
    }
    if (value >> HISTOGRAM_VALUE_BITS) {
        return HISTOGRAM_BUCKETS - 1;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (shift + 1) * HISTOGRAM_SUB_BUCKETS + ((value >> shift) & (HISTOGRAM_SUB_BUCKETS - 1));
}

/* Adds one sample. Context: any, one writer at a time: an interruption by a second writer (an NMI)
 * may lose one sample, nothing more. Readers may run meanwhile: relaxed accesses, no order. */
static inline void histogram_add(struct histogram *histogram, uint64_t value)
{
    uint64_t count = __atomic_load_n(&histogram->count, __ATOMIC_RELAXED);
    uint32_t *bucket = &histogram->buckets[histogram_bucket(value)];

    __atomic_store_n(bucket, __atomic_load_n(bucket, __ATOMIC_RELAXED) + 1, __ATOMIC_RELAXED);
    if (count == 0 || value < __atomic_load_n(&histogram->minimum, __ATOMIC_RELAXED)) {
        __atomic_store_n(&histogram->minimum, value, __ATOMIC_RELAXED);
    }
    if (count == 0 || value > __atomic_load_n(&histogram->maximum, __ATOMIC_RELAXED)) {
        __atomic_store_n(&histogram->maximum, value, __ATOMIC_RELAXED);
    }
    __atomic_store_n(&histogram->count, count + 1, __ATOMIC_RELAXED);
}

/* Empties @histogram. A writer that runs meanwhile may leave its sample half behind. */
void histogram_reset(struct histogram *histogram);

/* Adds all samples of @from to @into. */
void histogram_merge(struct histogram *into, const struct histogram *from);

/* Returns the value that @per_mille of the samples do not exceed (500 = median, 999 = p99.9), as
 * the upper edge of its bucket, never above the maximum; 0 if empty. */
uint64_t histogram_quantile(const struct histogram *histogram, unsigned per_mille);
