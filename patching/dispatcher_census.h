// SPDX-License-Identifier: MIT
/* How often each entry of a dispatcher was called, as far as samples tell. Pure. Invariant: total
 * is the sum of all calls and misses. Callers: dispatcher_choice.c, dispatcher_auto.c, tests. */
#pragma once

#include "patching/dispatcher_image.h"
#include "patching/trial.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatcher_census {
    uint32_t calls[DISPATCHER_ENTRY_MAX]; /* by number of the entry */
    uint32_t misses;                      /* of targets that are no entries */
    uint32_t total;
};

/* Adds @samples to @census; @targets are those of the entries, ascending as signed numbers. */
void dispatcher_census_count(struct dispatcher_census *census, const struct trial_sample *samples,
                             uint32_t sample_count, const uint64_t *targets, uint32_t entries);

/* Adds @more to @census. */
void dispatcher_census_add(struct dispatcher_census *census, const struct dispatcher_census *more);

/* Whether the two are of different traffic: the total variation distance (half of the sum of the
 * differences of all shares, that of the misses among them) is above 1/4 plus what two samples of
 * that size from one distribution are apart, on average, in the worst case. */
bool dispatcher_census_differs(const struct dispatcher_census *a,
                               const struct dispatcher_census *b);

/* Writes the numbers 0 to @entries - 1 to @hottest, that of the most called first; those that are
 * called alike by number. */
void dispatcher_census_rank(const struct dispatcher_census *census, uint32_t entries,
                            uint8_t *hottest);
