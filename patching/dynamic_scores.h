// SPDX-License-Identifier: MIT
/* How much the targets of a dynamic call were called of late, and which of them the slots are for.
 * Pure; dynamic_choice.h has the rules in words. Invariant: rows are in order, the most called
 * first; no target twice; no sum overflows. Callers: dynamic_choice.c, dynamic_decision.c, tests.
 */
#pragma once

#include "patching/dynamic_count.h"

#include <stdbool.h>
#include <stdint.h>

enum { DYNAMIC_SLOTS_MAX = 4 };

struct dynamic_targets {
    uint64_t slot[DYNAMIC_SLOTS_MAX]; /* 0: empty */
};

/* Whether two sets of slots name the same targets, in whatever order. */
bool dynamic_targets_same(const struct dynamic_targets *a, const struct dynamic_targets *b);
bool dynamic_targets_has(const struct dynamic_targets *targets, uint64_t target);
bool dynamic_targets_empty(const struct dynamic_targets *targets);

/* Empties the slots that name @target. Returns whether one did. */
bool dynamic_targets_remove(struct dynamic_targets *targets, uint64_t target);

/* Targets of @old go to slots of @targets that are left, below @slots. */
void dynamic_targets_keep(struct dynamic_targets *targets, const struct dynamic_targets *old,
                          uint32_t slots);

/* Calls, halved each epoch; all zero: none. */
struct dynamic_scores {
    struct dynamic_row rows[DYNAMIC_CENSUS_ROWS];
    uint32_t row_count;
    uint64_t others;    /* of targets without a row */
    uint64_t length_us; /* that they are of; halved each epoch, too */
};

/* Halves what there is, and adds an epoch. */
void dynamic_scores_add(struct dynamic_scores *scores, const struct dynamic_census *census,
                        uint64_t length_ns);
void dynamic_scores_forget(struct dynamic_scores *scores, uint64_t target);

uint64_t dynamic_scores_total(const struct dynamic_scores *scores);
uint64_t dynamic_scores_inside(const struct dynamic_scores *scores,
                               const struct dynamic_targets *targets);

/* The targets for @slots slots, the hottest first; those of @favoured leave only for one that beats
 * them by 1/8, and by more than chance. */
struct dynamic_targets dynamic_scores_best(const struct dynamic_scores *scores,
                                           const struct dynamic_targets *favoured, uint32_t slots);

/* How many of @calls, which are of @length_us, there would be in @wanted_us. */
uint64_t dynamic_scores_rate(uint64_t calls, uint64_t length_us, uint64_t wanted_us);
