// SPDX-License-Identifier: MIT
/* Which shape of a dispatcher is best for the traffic there is: the policy, without clock, text or
 * threads. It is told what was measured, and says what to do next.
 *
 *     off      a person has chosen the shape
 *     watching the chosen shape runs; from time to time one epoch is sampled, to see whether the
 *              traffic has changed
 *     trying   epochs of the shapes in turn, the current one among them
 *
 * Invariants: a shape is left only for one that was better by a margin, in the same trial, in most
 * of its rounds (hysteresis); what the policy asks for never costs more patches than the budget;
 * same input, same answers. Callers: dispatcher_auto.c, tests/host, tests/silicon. */
#pragma once

#include "patching/dispatcher_image.h"
#include "patching/trial.h"

#include <stdbool.h>
#include <stdint.h>

enum dispatcher_choice_state {
    DISPATCHER_CHOICE_OFF,
    DISPATCHER_CHOICE_WATCHING,
    DISPATCHER_CHOICE_TRYING,
};

/* Why a trial was held. */
enum dispatcher_reason {
    DISPATCHER_REASON_FIRST,    /* automatic choice was switched on */
    DISPATCHER_REASON_PROGRAMS, /* entries came or went */
    DISPATCHER_REASON_TRAFFIC,  /* the targets are called in other proportions, or their cost is
                                   other */
    DISPATCHER_REASON_TIME,     /* it was long ago */
};

enum { DISPATCHER_DECISIONS = 16, DISPATCHER_TRIAL_ROUNDS = 5 };

struct dispatcher_decision {
    uint64_t sequence; /* from 1 */
    uint64_t time_ns;
    uint64_t generation;
    enum dispatcher_reason reason;
    enum dispatcher_shape before, after;
    uint32_t entries, patches, samples;
    uint32_t cpu;                           /* that was measured */
    uint64_t costs[DISPATCHER_SHAPE_COUNT]; /* a call, in 1/TRIAL_COST_UNIT ticks; median of its
                                             * epochs; 0: not tried */
};

struct dispatcher_choice {
    enum dispatcher_choice_state state;
    uint64_t next_ns; /* when something is to be done */
    /* the rest is dispatcher_choice.c's: */
    uint64_t decided;                                           /* decisions so far */
    struct dispatcher_decision decisions[DISPATCHER_DECISIONS]; /* ring */
};
