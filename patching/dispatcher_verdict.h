// SPDX-License-Identifier: MIT
/* What the epochs of a trial say. Pure. Invariant: the verdict is the current shape, or one that
 * cost less. Callers: dispatcher_choice.c; dispatcher_choice.h has the rules in words. */
#pragma once

#include "patching/dispatcher_choice.h"

typedef const uint64_t dispatcher_epochs[DISPATCHER_TRIAL_ROUNDS]; /* costs; 0: not measured */

/* The mean of the cheaper half of those that were measured, the middle one with it; 0 if none was.
 */
uint64_t dispatcher_verdict_cost(dispatcher_epochs epochs);

/* Those of @candidates (bits) that may still win after @rounds rounds, and @current. */
uint32_t dispatcher_verdict_hopeful(dispatcher_epochs *epochs, uint32_t candidates,
                                    enum dispatcher_shape current, uint32_t rounds);

struct dispatcher_trial {
    dispatcher_epochs *epochs; /* by shape */
    uint32_t candidates;       /* bits: measured to the end */
    enum dispatcher_shape current;
    uint64_t overhead; /* in each cost */
    bool is_routine;   /* nothing but time has called for it */
};

enum dispatcher_shape dispatcher_verdict_shape(const struct dispatcher_trial *trial);
