// SPDX-License-Identifier: MIT
/* Which shape of a dispatcher is best for the traffic there is: the policy, without clock, text or
 * threads. It is told what was measured, and says what it wants next.
 *
 *     off      a person has chosen the shape
 *     watching the chosen shape runs; from time to time one epoch of calls is sampled, to see
 *              whether the traffic has changed. Where a trial is due, the sampler waits for traffic
 *     trying   epochs of the shapes in turn (A B C, B C A, ...), the current one among them
 *
 * A trial: one epoch tells who is hot. Then rounds; shapes that are the same code for so many
 * entries are tried once; from the second round on, those that are hopeless are left out. What the
 * epochs say is in way_verdict.h; `none` is the plain way: where a shape is worse, dispatching does
 * harm.
 *
 * Without a trial: where 15 calls in 16 are misses it is `none`, which does less before a miss than
 * any other shape. Where calls never come one after the other (trial_break()) they cannot be timed,
 * and the shape stays.
 *
 * When: 100 ms after entries came or went, so that updates in a row do not wait for trials; at once
 * if the watch sees other traffic (dispatcher_census.h) or another cost (by 1/4) twice in a row;
 * else after 1 s, doubled up to 64 s with each trial of the same entries. The watch looks after 1
 * s, then 2, then every 4; less often, up to every 64 s, while each look ends in an alarm. So a
 * dispatcher at rest takes two patches in 4 s, and none if nobody calls it: then a sampler waits.
 *
 * Invariants: a shape is left only for one that was better in the same trial; one epoch, one patch
 * at most; same input, same answers. Callers: dispatcher_auto.c, tests/host, tests/silicon. */
#pragma once

#include "patching/dispatcher_census.h"
#include "patching/dispatcher_image.h"
#include "patching/trial.h"
#include "patching/way_verdict.h"

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

enum { DISPATCHER_DECISIONS = 16 };

/* The rounds of a trial, and of one that nothing but time has called for. */
enum { DISPATCHER_TRIAL_ROUNDS = WAY_ROUNDS, DISPATCHER_ROUTINE_ROUNDS = 5 };

_Static_assert((int)DISPATCHER_SHAPE_COUNT <= (int)WAYS_MAX, "each shape is a way");

/* Fewer samples in an epoch are no traffic. */
enum { DISPATCHER_EPOCH_LEAST = 64 };

struct dispatcher_decision {
    uint64_t sequence; /* from 1 */
    uint64_t time_ns;
    uint64_t generation;
    enum dispatcher_reason reason;
    enum dispatcher_shape before, after;
    uint32_t entries, patches, samples;
    uint32_t cpu;                           /* that was measured */
    uint64_t costs[DISPATCHER_SHAPE_COUNT]; /* a call, in 1/TRIAL_COST_UNIT ticks:
                                             * way_verdict_cost(); 0: not tried */
};

/* What the dispatcher is. */
struct dispatcher_situation {
    uint64_t now_ns;
    uint64_t generation;
    uint32_t entries;
    enum dispatcher_shape shape;
    bool is_sampled;
};

/* What the policy wants it to be. */
struct dispatcher_wish {
    enum dispatcher_shape shape;
    bool is_sampled;  /* and then an epoch, of ... */
    uint32_t cpu;     /* ... this CPU, or TRIAL_ANY_CPU */
    bool has_hottest; /* in the order of `hottest`; if not, in the one that it has */
};

/* What was measured. */
struct dispatcher_epoch {
    uint64_t cost;     /* trial_cost() */
    uint64_t overhead; /* the part of the cost that is the recorder's: the same for all shapes */
    uint32_t cpu;      /* whose */
    struct dispatcher_census census;
};

/* What the sampler is on for. */
enum dispatcher_phase {
    DISPATCHER_PHASE_REST,   /* it is not */
    DISPATCHER_PHASE_WATCH,  /* whether traffic is what it was */
    DISPATCHER_PHASE_CENSUS, /* who is called, before a trial */
    DISPATCHER_PHASE_ROUNDS,
};

struct dispatcher_choice {
    enum dispatcher_choice_state state;
    uint64_t next_ns; /* when something is to be done */
    /* dispatcher_auto.c's: */
    bool is_recording; /* an epoch */
    uint64_t epoch_end_ns;
    uint64_t refused; /* patches */
    enum patch_status refused_with;
    /* the rest is dispatcher_choice.c's: */
    struct dispatcher_wish wish;
    uint8_t hottest[DISPATCHER_ENTRY_MAX]; /* numbers of entries */
    bool is_reordered;                     /* `hottest` is newer than the image */
    bool is_settled;                       /* a decision was made for these entries */
    enum dispatcher_phase phase;
    uint64_t generation; /* that all this is about */
    uint32_t entries;
    /* this trial: */
    enum dispatcher_reason reason;
    enum dispatcher_shape before;
    uint32_t candidates; /* bits */
    uint32_t round, turn;
    uint32_t patches, samples, cpu;
    uint32_t silent_epochs; /* without traffic, in a row */
    uint64_t overhead;
    uint64_t epochs[DISPATCHER_SHAPE_COUNT][DISPATCHER_TRIAL_ROUNDS];
    struct dispatcher_census census;
    /* what the last decision was made for: */
    struct dispatcher_census usual;
    uint64_t usual_cost;
    uint64_t retry_ns; /* when to try again in any case */
    uint64_t retry_interval_ns, watch_interval_ns;
    bool is_alarmed;                                            /* the last epoch was unlike them */
    uint64_t given_up;                                          /* trials without a decision */
    uint64_t decided;                                           /* decisions so far */
    struct dispatcher_decision decisions[DISPATCHER_DECISIONS]; /* ring */
};

/* Switches it on, as if it never had been, or off. All zero is off. */
void dispatcher_choice_switch(struct dispatcher_choice *choice, bool is_on, uint64_t now_ns);

/* Looks at what the dispatcher is now: sets wish and next_ns. */
void dispatcher_choice_look(struct dispatcher_choice *choice,
                            const struct dispatcher_situation *situation);

/* Whether the wish takes a patch. */
bool dispatcher_choice_wants_patch(const struct dispatcher_choice *choice,
                                   const struct dispatcher_situation *situation);

/* The dispatcher is what was wished: one patch was made, or (@is_patched false) none was needed. */
void dispatcher_choice_formed(struct dispatcher_choice *choice, bool is_patched);

/* It could not be made so: the trial, if there is one, is given up. */
void dispatcher_choice_refused(struct dispatcher_choice *choice, uint64_t now_ns);

/* An epoch of the wish is over. To be looked at again at once. */
void dispatcher_choice_measured(struct dispatcher_choice *choice,
                                const struct dispatcher_situation *situation,
                                const struct dispatcher_epoch *epoch);

/* The first shape that has the same code as @shape for @entries entries. */
enum dispatcher_shape dispatcher_shape_canonical(enum dispatcher_shape shape, uint32_t entries);

const char *dispatcher_reason_name(enum dispatcher_reason reason);
const char *dispatcher_choice_state_name(enum dispatcher_choice_state state);
