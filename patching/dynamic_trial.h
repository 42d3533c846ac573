// SPDX-License-Identifier: MIT
/* The trial of a dynamic call: rounds of both ways in turns, and what they lead to. Invariant: as
 * dynamic_choice.h says; the text does not change while it runs. Callers: dynamic_choice.c. */
#pragma once

#include "patching/dynamic_choice.h"

/* The wish names the slots that are to be tried. */
void dynamic_trial_begin(struct dynamic_choice *choice, uint64_t now_ns);

/* An epoch of it is over. */
void dynamic_trial_measured(struct dynamic_choice *choice, const struct dynamic_terms *terms,
                            const struct dynamic_epoch *epoch);

/* Whether @inside of @total calls are so many that a clock is not asked. */
bool dynamic_trial_shares_pay(uint64_t inside, uint64_t total);

/* DYNAMIC_MANY_CALLS times @cost, which is in 1/TRIAL_COST_UNIT ticks. In ns. */
uint64_t dynamic_trial_cost_ns(uint64_t cost, const struct dynamic_terms *terms);

/* ---- Where trials lead; in dynamic_choice.c ----------------------------------------------------
 */

/* The gate opens on @targets. @old: what the slots named before. */
void dynamic_choice_open(struct dynamic_choice *choice, const struct dynamic_targets *targets,
                         const struct dynamic_targets *old, enum dynamic_reason reason,
                         uint64_t now_ns);

/* The targets cannot be foretold. */
void dynamic_choice_rest(struct dynamic_choice *choice, const struct dynamic_targets *old,
                         uint64_t now_ns);

/* Nobody calls. */
void dynamic_choice_give_up(struct dynamic_choice *choice, uint64_t now_ns);
