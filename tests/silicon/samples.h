// SPDX-License-Identifier: MIT
/* Samples of one quantity. Invariant: only samples during which nobody was preempted are kept; the
 * others are counted. Used by: the measurements.
 *
 *     samples_begin(&samples);
 *     while (samples_wanted(&samples, most)) {
 *         samples_start(&samples);
 *         (what is measured)
 *         samples_keep(&samples, value);        (or several of them)
 *         samples_accept(&samples);
 *     } */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { SAMPLES_MAX = 10000 };

struct samples {
    uint32_t count;     /* kept for good */
    uint32_t pending;   /* kept since the start of this one */
    uint32_t discarded; /* starts whose values were dropped */
    uint64_t start_ns;
    uint64_t time_ns;
    double values[SAMPLES_MAX];
};

void samples_begin(struct samples *samples);

/* True while there are less than @most, and neither space nor time has run out. The time is a fifth
 * of a second from samples_begin(), a fifth of that with --quick; three times as long as long as
 * there are only a few. */
bool samples_wanted(const struct samples *samples, uint32_t most);

void samples_start(struct samples *samples);
void samples_keep(struct samples *samples, double value);

/* Returns false if somebody was preempted since the start; the values are gone then. */
bool samples_accept(struct samples *samples);

/* Keeps @value for good: one that was accepted together with another. */
void samples_add(struct samples *samples, double value);

/* Subtracts @amount from all values. */
void samples_subtract(struct samples *samples, double amount);

/* Value that @per_mille of the samples do not exceed; 0 if there are none. Sorts. */
double samples_quantile(struct samples *samples, unsigned per_mille);

/* Fields n, discarded, min_ns, p50_ns, p99_ns, max_ns of the row being reported. */
void samples_report_ns(struct samples *samples);

/* Field @name: @value, or nothing if there are no samples it could come from. */
void samples_report_derived(const struct samples *samples, const char *name, double value);
