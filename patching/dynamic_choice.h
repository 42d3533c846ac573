// SPDX-License-Identifier: MIT
/* What the slots of a dynamic call should name: the policy, without clock, text or threads. It is
 * told what was counted and timed, epoch by epoch, and says what it wants next.
 *
 *     state      gate, watch     what an epoch tells
 *     off        closed, off     nothing: a person has switched learning off
 *     pinned     open, off       nothing: a person has named the targets
 *     learning   closed, on      every call, by target
 *     trying     closed, on      what a call costs, through the chain and the slow way in turns
 *     stable     open, on        the calls that no slot names
 *     resting    closed, on/off  (shown as "off") no slot pays: targets that cannot be foretold
 *                                (watch off, looked at again later), or too few calls (watch on)
 *
 * Learning: scores are calls, halved each epoch, so that they are of the last few. The slots are
 * for the targets with the highest scores, 1/32 of all at least. They are wanted when DYNAMIC_AGREE
 * epochs in a row have named the same set, and who is in by each of them beats who is out by 1/8 of
 * its score; when so many calls as there were would earn back in DYNAMIC_PAYBACK_NS what the change
 * costs. One target with 7 calls in 8 or more: the chain pays, whatever the sequence; the gate
 * opens with the change. Else both ways are timed, with the verdict that dispatchers use
 * (way_verdict.h): shares do not tell what can be foretold. Calls that cannot be timed
 * (trial_break()): the shares decide, 3 in 4.
 *
 * Stable: misses raise an alarm when there are more in an epoch than twice as many as usual, and so
 * many that to learn anew would pay. Then the gate closes, the scores start from 0, and what is
 * learnt is taken; if that is the set that is there, the gate opens again, and misses like these
 * are usual from then on. So a constant target costs nothing once it is learnt, and neither does a
 * mix that stays as it is; another target is learnt in three epochs: the one that notices, two that
 * agree; two batches.
 *
 * Unstable: a change within DYNAMIC_CALM_NS of the one before, or an alarm that changed nothing,
 * doubles the time until the next alarm is heard, from DYNAMIC_HOLD_NS to 64 s; calm of eight times
 * as long halves it. Resting because of the sequence: looked at again after 1 s, doubled up to 64
 * s.
 *
 * Invariants: no wish for a change to a set that is there; no change without DYNAMIC_AGREE epochs;
 * same input, same answers. Callers: dynamic_auto.c, tests/host, tests/silicon. */
#pragma once

#include "patching/dynamic_count.h"
#include "patching/status.h"

#include <stdbool.h>
#include <stdint.h>

enum { DYNAMIC_SLOTS_MAX = 4 };

struct dynamic_targets {
    uint64_t slot[DYNAMIC_SLOTS_MAX]; /* 0: empty */
};

/* What a comparison compares with. */
enum dynamic_compare {
    DYNAMIC_COMPARE_IMMEDIATE, /* a value in the text (seed 2): nothing is loaded */
    DYNAMIC_COMPARE_MEMORY,    /* a value in memory (seed 1) */
    DYNAMIC_COMPARE_COUNT
};

enum dynamic_state {
    DYNAMIC_OFF,
    DYNAMIC_PINNED,
    DYNAMIC_LEARNING,
    DYNAMIC_TRYING,
    DYNAMIC_STABLE,
    DYNAMIC_RESTING,
};

enum dynamic_reason {
    DYNAMIC_REASON_HAND,          /* a person said so */
    DYNAMIC_REASON_NEW,           /* learning was switched on, nothing is known */
    DYNAMIC_REASON_HOT,           /* one target has nearly all calls */
    DYNAMIC_REASON_CHEAPER,       /* the chain was timed, and costs less */
    DYNAMIC_REASON_SHARES,        /* it could not be timed; the shares decided */
    DYNAMIC_REASON_SAME,          /* the set that is there is the right one: the gate opens again */
    DYNAMIC_REASON_MISSES,        /* more misses than usual: learnt anew */
    DYNAMIC_REASON_UNPREDICTABLE, /* the chain was timed, and does not pay */
    DYNAMIC_REASON_FEW_CALLS,     /* a change would not earn back what it costs */
    DYNAMIC_REASON_RETRY,         /* it has rested long enough */
    DYNAMIC_REASON_FORGOTTEN,     /* a target is gone */
    DYNAMIC_REASON_FAILED,        /* what was wished could not be done */
    DYNAMIC_REASON_COUNT
};

#define DYNAMIC_EPOCH_NS   100000000ull
#define DYNAMIC_PAYBACK_NS 10000000000ull
#define DYNAMIC_CALM_NS    5000000000ull
#define DYNAMIC_HOLD_NS    1000000000ull
enum { DYNAMIC_AGREE = 2, DYNAMIC_TRIAL_ROUNDS = 9, DYNAMIC_DECISIONS = 16 };

/* Ways that a trial compares. */
enum dynamic_way { DYNAMIC_WAY_SLOW, DYNAMIC_WAY_CHAIN, DYNAMIC_WAYS };

struct dynamic_decision {
    uint64_t sequence; /* from 1 */
    uint64_t time_ns;
    enum dynamic_state before, after;
    enum dynamic_reason reason;
    struct dynamic_targets old_targets, new_targets;
    struct dynamic_row scores[DYNAMIC_SLOTS_MAX + 1]; /* the highest; 0: no more */
    uint64_t score_total;
    uint32_t batches;             /* that it took, trial included */
    uint64_t cost_ns;             /* that it took; 0 until it is carried out */
    uint64_t saving;              /* a call, in 1/TRIAL_COST_UNIT ticks: timed, or the estimate */
    uint64_t break_even_calls;    /* cost over saving; UINT64_MAX: never */
    uint64_t costs[DYNAMIC_WAYS]; /* a call, timed, in 1/TRIAL_COST_UNIT ticks; 0: not tried */
};

/* What is known besides the counts. */
struct dynamic_terms {
    uint64_t change_ns; /* what a change costs, as far as one knows */
    uint64_t saving;    /* what a call through a slot saves, as dynamic_saving_estimate() says: in
                         * 1/TRIAL_COST_UNIT ticks */
    uint64_t (*ticks_to_ns)(uint64_t ticks);
};

/* What was seen in an epoch. */
struct dynamic_epoch {
    uint64_t now_ns;    /* its end */
    uint64_t length_ns; /* less the time that a change took */
    struct dynamic_census census;
    /* of an epoch of a trial: */
    uint64_t cost;     /* trial_cost(); 0: nothing could be timed */
    uint64_t overhead; /* the recorder's part of it */
};

/* What the policy wants the call to be. */
struct dynamic_wish {
    struct dynamic_targets targets;
    bool is_open, is_watched;
    bool is_timed;     /* an epoch of a trial, which ends when its buffer is full */
    bool goes_through; /* of the chain */
};

struct dynamic_choice {
    enum dynamic_state state;
    enum dynamic_reason reason; /* for being in that state */
    struct dynamic_wish wish;
    uint64_t next_ns; /* when something is to be done: the end of the epoch */
    /* dynamic_auto.c's: */
    bool is_recording;
    uint64_t epoch_start_ns, epoch_end_ns;
    uint64_t hits, misses; /* as far as they were counted: hits while learning, misses always */
    uint64_t refused;      /* changes that failed */
    enum patch_status refused_with;
    /* the rest is dynamic_choice.c's: */
    uint32_t slot_count;
    struct dynamic_targets present; /* what the slots name */
    struct dynamic_row scores[DYNAMIC_CENSUS_ROWS];
    uint32_t score_count;
    uint64_t score_others;
    struct dynamic_targets candidate; /* what the last epoch named */
    uint32_t agreed;                  /* epochs in a row that named it */
    uint64_t epochs, changes, decided;
    uint64_t usual_misses;
    uint64_t quiet_until_ns, hold_ns; /* alarms are not heard */
    uint64_t last_change_ns;
    uint64_t rest_until_ns, rest_ns;
    uint32_t round, turn; /* of a trial */
    uint64_t costs[DYNAMIC_WAYS][DYNAMIC_TRIAL_ROUNDS];
    uint64_t overhead;
    struct dynamic_decision decisions[DYNAMIC_DECISIONS]; /* ring */
};

/* Learning is switched on, as if it never had been; or off. All zero is off. */
void dynamic_choice_switch(struct dynamic_choice *choice, bool is_on, uint32_t slot_count,
                           uint64_t now_ns);

/* A person names the targets. */
void dynamic_choice_pin(struct dynamic_choice *choice, const struct dynamic_targets *targets,
                        uint64_t now_ns);

/* An epoch is over: sets wish and next_ns. Not called in states off and pinned. */
void dynamic_choice_measured(struct dynamic_choice *choice, const struct dynamic_terms *terms,
                             const struct dynamic_epoch *epoch);

/* The call is what was wished, by @batches batches that took @cost_ns. An epoch begins. */
void dynamic_choice_formed(struct dynamic_choice *choice, uint32_t batches, uint64_t cost_ns,
                           uint64_t now_ns);

/* It could not be made so: learning begins anew, later. */
void dynamic_choice_refused(struct dynamic_choice *choice, uint64_t now_ns);

/* @target is gone: no score names it any more, no slot is to. */
void dynamic_choice_forget(struct dynamic_choice *choice, uint64_t target, uint64_t now_ns);

/* Whether two sets of slots name the same targets, in whatever order. */
bool dynamic_targets_same(const struct dynamic_targets *a, const struct dynamic_targets *b);

/* Names for people: "learning", "off", ...; "?" if unknown. */
const char *dynamic_state_name(enum dynamic_state state);
const char *dynamic_reason_name(enum dynamic_reason reason);
const char *dynamic_compare_name(enum dynamic_compare compare); /* "imm", "mem" */
