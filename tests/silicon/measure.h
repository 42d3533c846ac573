// SPDX-License-Identifier: MIT
/* The measurements, and what they share. Invariant: each leaves all sites as it found them, old,
 * and no executor behind. Called by: main.c. */
#pragma once

#include "bench/bench_dispatch_traffic.h"
#include "tests/host/live_sites.h"

void measure_sync(void);
void measure_batch(void);
void measure_calls(void);
void measure_dispatch(void);
void measure_dyncall(void);
void measure_keys(void);
void measure_paravirt(void);
void measure_handler(void);
void measure_broken(void);

/* Says which of the project's bars hold here: yes, no, or not measured in full. */
void bars_report(void);

/* Figures of one row of the table of dispatchers, net ns a call; negative: not measured. */
struct dispatch_figures {
    enum dispatch_traffic traffic;
    uint32_t entries;
    double retpoline, automatic, best; /* best: of the shapes */
};

/* Takes a row into bars.dispatch. */
void dispatch_bars_add(const struct dispatch_figures *figures);

/* The row in which automatic choice was farthest above what it is compared with. */
struct dispatch_worst {
    double percent;   /* may be negative */
    uint32_t entries; /* 0: there is no such row */
    enum dispatch_traffic traffic;
};

/* Of the rows so far. Least and most: of automatic choice with 1..16 entries, 0: none. */
struct dispatch_bars {
    uint32_t rows;
    bool has_gaps;                        /* a figure was not measured */
    double constant_least, constant_most; /* first, last */
    double in_turn_least, in_turn_most;   /* round robin */
    double retpoline_ratio;               /* of both: retpoline over automatic, the least */
    struct dispatch_worst best, retpoline;
    struct dispatch_worst full_miss; /* over the retpoline, 64 entries, all miss */
};

/* Figures of one row of the table of dynamic calls, net ns a call; negative: not measured. */
struct dyncall_figures {
    double direct, retpoline;
    double pinned; /* the slowest of all sizes and forms */
    double off, automatic;
};

/* What bars_report() wants to know; 0 or less: not measured. */
struct bars {
    double flat_percent; /* int3-batch: the dearest of 1..256 sites over the cheapest, less 100 % */
    double qword_ratio;  /* int3-batch over qword, the worst of 1..256 sites */
    double naive_bad;    /* per million updates across a line */
    uint64_t naive_updates;
    uint64_t batch_updates; /* int3-batch: all placements */
    uint64_t batch_bad;
    uint64_t qword_updates;
    uint64_t qword_bad;
    bool batch_was_measured; /* the two figures of cost */
    struct dispatch_bars dispatch;
    bool dyncall_was_measured;                               /* the next two: */
    struct dyncall_figures dyncall_constant, dyncall_random; /* random: among 8 */
};
extern struct bars bars;

enum { POOL_SITES = 256 };

/* POOL_SITES sites at @placement, nop5 and jmp, of every split. */
const struct live_site *pool_sites(enum live_placement placement);

/* Returns NULL, or what failed. */
const char *pool_initialize(void);

/* Turns @count sites to @state by @protocol; ends the program if that is refused. The record of
 * what it cost is in the batch returned. */
const struct patch_batch *pool_flip(const struct live_site *sites, size_t count, unsigned state,
                                    enum patch_protocol_id protocol);
