// SPDX-License-Identifier: MIT
/* Worlds for the policy of dispatchers: what each shape costs there is known, how noisy measuring
 * is, who is called. Invariant: a world counts patches itself; time passes in steps. Used by:
 * test_dispatcher_choice.c. */
#pragma once

#include "patching/patch_budget.h"
#include "patching/dispatcher_choice.h"

#include <stdbool.h>
#include <stdint.h>

#define SECOND 1000000000ull

enum { RECORDER_TICKS = 36 /* in each gap */ };

/* Costs in ticks, from the silicon column of the project's reference figures and worked out from
 * them: tree, tree4, linear, linear-cold, hot1, hot2, none. */
struct traffic {
    const char *name;
    uint32_t entries;
    double costs[DISPATCHER_SHAPE_COUNT];
    double shares[DISPATCHER_ENTRY_MAX]; /* of calls; the rest are misses */
};

extern const struct traffic traffic_constant_first, traffic_constant_last, traffic_robin_16,
    traffic_burst_16, traffic_zipf_8, traffic_random_4, traffic_random_64, traffic_all_miss,
    traffic_one, traffic_two;

enum { TRAFFICS = 10 };
extern const struct traffic *const traffics[TRAFFICS];

struct world {
    struct dispatcher_choice choice;
    struct patch_budget budget;
    struct dispatcher_situation situation;
    const struct traffic *traffic;
    double noise;    /* each epoch is off by up to this share, either way */
    double spikes;   /* share of epochs that take twice as long */
    bool is_silent;  /* nobody calls */
    bool is_untimed; /* calls never come in a row: trial_break() */
    bool is_refused; /* no patch succeeds */
    uint64_t random;
    uint64_t patches, epochs;
};

/* Random, but the same for one @seed: 50 patches a second, automatic choice on. */
struct world world_make(const struct traffic *traffic, uint64_t seed);
double world_fraction(struct world *world); /* 0 to 1, random */

/* From now on its traffic; other entries if there are more or fewer. */
void world_enter(struct world *world, const struct traffic *traffic);

/* A step takes an epoch; a run many, and leaps over times of rest. */
void world_step(struct world *world);
void world_run(struct world *world, uint64_t ns);

/* What an epoch of the shape in use would measure. */
struct dispatcher_epoch world_epoch(struct world *world);

double world_true_cost(const struct world *world);
double traffic_best_cost(const struct traffic *traffic);
