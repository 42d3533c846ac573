// SPDX-License-Identifier: MIT
/* Packet generator: latencies, and what is printed in the end. Invariant: a percentile is at most
 * 1/HISTOGRAM_SPLIT above the true one, and never beyond the maximum. Callers: pktgen_receive.c
 * (adds), pktgen.c. */
#include "pktgen.h"

#include <inttypes.h>
#include <stdio.h>

/* Below HISTOGRAM_SPLIT: the value itself; above: power of two, and the bits behind the first. */
static unsigned bucket_of(uint64_t value)
{
    if (value < HISTOGRAM_SPLIT) {
        return (unsigned)value;
    }
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 5u;
    return (shift + 1) * HISTOGRAM_SPLIT + (unsigned)(value >> shift) - HISTOGRAM_SPLIT;
}

static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < HISTOGRAM_SPLIT) {
        return bucket;
    }
    unsigned shift = bucket / HISTOGRAM_SPLIT - 1;
    return (((uint64_t)(bucket % HISTOGRAM_SPLIT) + HISTOGRAM_SPLIT + 1) << shift) - 1;
}

_Static_assert(HISTOGRAM_SPLIT == 1 << 5, "bucket_of() keeps five bits");

void histogram_add(struct run *run, uint64_t nanoseconds)
{
    run->histogram[bucket_of(nanoseconds)]++;
    run->latency_min = nanoseconds < run->latency_min ? nanoseconds : run->latency_min;
    run->latency_max = nanoseconds > run->latency_max ? nanoseconds : run->latency_max;
}

uint64_t histogram_percentile(const struct run *run, double fraction)
{
    uint64_t total = 0, seen = 0;

    for (unsigned i = 0; i < HISTOGRAM_LENGTH; i++) {
        total += run->histogram[i];
    }
    for (unsigned i = 0; i < HISTOGRAM_LENGTH; i++) {
        seen += run->histogram[i];
        if (seen != 0 && (double)seen >= fraction * (double)total) {
            return bucket_end(i) < run->latency_max ? bucket_end(i) : run->latency_max;
        }
    }
    return 0;
}

/* One row of the report: a count or a rate. */
struct row {
    const char *name;
    uint64_t value;
};

static double seconds_between(uint64_t from, uint64_t to)
{
    return to > from ? (double)(to - from) * 1e-9 : 0;
}

static uint64_t rate(uint64_t count, double seconds)
{
    return seconds > 0 ? (uint64_t)((double)count / seconds + 0.5) : 0;
}

static void print_rows(const struct run *run, double seconds, const struct row *rows)
{
    const struct settings *settings = run->settings;

    if (!settings->json) {
        printf("%s over %s, %.3f s\n", mode_names[settings->mode], settings->link, seconds);
        for (; rows->name != NULL; rows++) {
            printf("  %-16s %" PRIu64 "\n", rows->name, rows->value);
        }
        return;
    }
    printf("{\"kind\":\"pktgen\",\"mode\":\"%s\",\"link\":\"%s\",\"size_first\":%u,"
           "\"size_last\":%u,\"seconds\":%.3f",
           mode_names[settings->mode], link_names[run->link->kind], settings->size_first,
           settings->size_last, seconds);
    for (; rows->name != NULL; rows++) {
        printf(",\"%s\":%" PRIu64, rows->name, rows->value);
    }
    printf("}\n");
}

void report_print(const struct run *run)
{
    const struct counts *counts = &run->counts;
    uint64_t sent = count_read(&counts->sent), refused = count_read(&counts->refused);
    uint64_t echoed = count_read(&counts->echoed), wrong = count_read(&counts->wrong);
    uint64_t received = count_read(&counts->received), last = count_read(&counts->last_ns);
    bool echoes = run->settings->mode == MODE_ECHO, has_latency = run->latency_max != 0;
    bool reflects = run->settings->mode == MODE_REFLECT;
    double seconds = seconds_between(run->begin_ns, run->sent_ns);
    const struct row rows[] = {
        {"offered", reflects ? received : sent + refused},
        {"sent", sent},
        {"refused", refused},
        {"offered_pps", rate(sent + refused, seconds)},
        {"sent_pps", rate(sent, seconds)},
        {"received", received},
        {"received_bytes", count_read(&counts->received_bytes)},
        {"received_pps", rate(received, seconds_between(count_read(&counts->first_ns), last))},
        {"echoed", echoed},
        {"echoed_pps", rate(echoed, seconds_between(run->begin_ns, last))},
        {"lost", echoes && sent > echoed + wrong ? sent - echoed - wrong : 0},
        {"wrong", wrong},
        {"repeated", count_read(&counts->repeated)},
        {"other", count_read(&counts->other)},
        {"unread", run->unread},
        {"arp_answered", count_read(&counts->arp_answered)},
        {"latency_min_ns", has_latency ? run->latency_min : 0},
        {"latency_p50_ns", histogram_percentile(run, 0.5)},
        {"latency_p99_ns", histogram_percentile(run, 0.99)},
        {"latency_max_ns", run->latency_max},
        {NULL, 0}};

    print_rows(run, seconds, rows);
}
