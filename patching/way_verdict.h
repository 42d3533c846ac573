// SPDX-License-Identifier: MIT
/* Which of several ways to make a call costs least, as far as the epochs of a trial tell: the rules
 * that dispatchers and dynamic calls share. Pure. One of the ways is the plain one, that which does
 * least (a dispatcher's `none`, a dynamic call's slow way): it is taken where nothing is better.
 *
 * The cost of a way is the mean of the cheaper half of its epochs: what disturbs them (another
 * thread on the core, an interrupt) makes them dearer, never cheaper. Two measures: 3 % of the cost
 * without the recorder's own, and the noise, four times how far half of the epochs are from the
 * cost of their way. The best way is taken if it is better than the current one in most rounds, and
 * by the smaller of the two. The plain way is taken instead if it is as good within the noise, and
 * anything that is better than a current one that is worse than the plain one: then the current one
 * does harm. In a trial that nothing but time has called for, the margin is twice the greater of
 * the two.
 *
 * Invariant: the verdict is the current way, or the plain one, or one that cost less. Callers:
 * dispatcher_choice.c, dynamic_trial.c, tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { WAYS_MAX = 8, WAY_ROUNDS = 9 };

typedef const uint64_t way_epochs[WAY_ROUNDS]; /* costs; 0: not measured */

/* The mean of the cheaper half of those that were measured, the middle one with it; 0 if none was.
 */
uint64_t way_verdict_cost(way_epochs epochs);

/* Those of @candidates (bits) that may still win after @rounds rounds, and @current. */
uint32_t way_verdict_hopeful(way_epochs *epochs, uint32_t candidates, uint32_t current,
                             uint32_t rounds);

struct way_trial {
    way_epochs *epochs;  /* by way */
    uint32_t candidates; /* bits, below WAYS_MAX: measured to the end; one at least */
    uint32_t current;
    uint32_t plain;
    uint64_t overhead; /* in each cost */
    bool is_routine;   /* nothing but time has called for it */
};

uint32_t way_verdict_choose(const struct way_trial *trial);
