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
 * for the targets with the highest scores, 1/32 of all at least; who is in keeps its place unless
 * one that is out beats it by 1/8, and by more than chance. A set is wanted when DYNAMIC_AGREE
 * epochs in a row have named it, and so many calls as there are would earn back in
 * DYNAMIC_PAYBACK_NS what the change costs. Then
 *
 *     one target has 7 calls in 8 or more    the chain pays, whatever the sequence: the gate opens
 *                                            with the change
 *     else                                   the slots change behind the closed gate, and both ways
 *                                            are timed, with the verdict that dispatchers use
 *                                            (way_verdict.h): shares do not tell what can be
 *                                            foretold
 *     calls that cannot be timed             the shares decide: 3 calls in 4 are in the slots
 *     (trial_break())
 *     nobody calls any more                  the trial is given up: too few calls
 *
 * A set that was learnt before gives way only to one that has 1/8 more calls, or leaves less than
 * half the misses. Sets that change from epoch to epoch for 16 epochs, and calls spread so thinly
 * that those in the slots would not pay, rest like targets that cannot be foretold.
 *
 * Stable: misses raise an alarm when there are more in an epoch than twice as many as usual, and so
 * many that to learn anew would pay. Then the gate closes, the scores start from 0, and what is
 * learnt is taken, the old targets staying in slots that are left. If that is the set that is
 * there, and has 3 calls in 4, the gate opens again at once, and misses like these are usual. Usual
 * is what the scores foretold when the gate opened; it goes down to the most in 32 epochs, and
 * never up by itself, so that a slow change is noticed too. So a constant target costs nothing once
 * it is learnt, and neither does a mix that stays as it is; another target is learnt in three
 * epochs: the one that notices, two that agree; two batches. What is not noticed: a sequence that
 * cannot be foretold any more, of the same targets with the same shares.
 *
 * Unstable: a change by alarm within DYNAMIC_CALM_NS of the one before, or an alarm that changed
 * nothing, doubles the time until the next alarm is heard, from DYNAMIC_HOLD_NS (at first it is 0)
 * to 64 s; so does a change within eight times that time, and calm of that length halves it.
 * Resting because of the sequence, or because a change failed: looked at again after 1 s, doubled
 * up to 64 s, until the gate was open for eight times as long; two batches a time, for the watch
 * alone. A trial that was given up is not held again before then.
 *
 * Epochs: of calls in plenty dynamic_auto.c counts those of a slice, and says how long that was;
 * what is counted while the text is changed is not used. dynamic_choice_formed() begins an
 * epoch; one that ends before next_ns is none.
 *
 * Invariants: no wish for a change to a set that is there; no change without DYNAMIC_AGREE epochs;
 * no slot for a target that was not called; same input, same answers. Callers: dynamic_auto.c,
 * tests/host, tests/silicon. */
#pragma once

#include "patching/dynamic_scores.h"
#include "patching/status.h"
#include "patching/way_verdict.h"

#include <stdbool.h>
#include <stdint.h>

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
#define DYNAMIC_MANY_CALLS (1ull << 20)
enum { DYNAMIC_AGREE = 2, DYNAMIC_TRIAL_ROUNDS = WAY_ROUNDS, DYNAMIC_DECISIONS = 16 };

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
    uint64_t cost_ns;             /* that it took, trial included, grace periods not; 0 until
                                   * it is carried out */
    uint64_t saving;              /* a call, in 1/TRIAL_COST_UNIT ticks: timed, or the estimate */
    uint64_t break_even_calls;    /* cost over saving, of what a change costs as far as one knows
                                   * until it is carried out; UINT64_MAX: never */
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
    uint64_t now_ns;              /* its end */
    uint64_t length_ns;           /* less the time that a change took */
    struct dynamic_census census; /* of a trial: only the total, of calls that were recorded */
    /* of an epoch of a trial: */
    uint64_t cost;     /* trial_cost(); 0: nothing could be timed */
    uint64_t overhead; /* the recorder's part of it */
};

/* What the policy wants the call to be, at once. */
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
    uint64_t slice_end_ns;  /* when to look whether enough is counted; 0: that was done */
    uint64_t counted_ns;    /* what was counted before; 0: the whole epoch */
    uint64_t epoch_changes; /* of the text, before it */
    uint32_t mitigation;    /* under which all this was learnt */
    uint64_t hits, misses;  /* as far as they were counted: hits while learning, misses always */
    uint64_t refused;       /* changes that failed */
    enum patch_status refused_with;
    /* the rest is dynamic_choice.c's: */
    uint32_t slot_count;
    struct dynamic_targets present; /* what the slots name */
    uint64_t epochs, changes, decided;
    uint64_t saving;         /* a call, as far as one knows: in 1/TRIAL_COST_UNIT ticks ... */
    uint64_t saving_ns;      /* ... and of DYNAMIC_MANY_CALLS */
    uint64_t change_cost_ns; /* the terms' */
    /* learning: */
    struct dynamic_scores scores;
    struct dynamic_targets candidate; /* what the last epoch named */
    uint32_t agreed;                  /* epochs in a row that named it */
    uint32_t undecided, few;          /* epochs that did not agree; in a row: with too few calls */
    bool is_alarmed;                  /* since an alarm the gate has not opened */
    bool is_present_learnt;           /* since learning was switched on */
    /* a trial: */
    uint32_t round, turn, untimed, empty; /* the last two: epochs in a row */
    bool is_routine;                      /* nothing but time has called for it */
    struct dynamic_targets untried;       /* what the slots named before */
    uint64_t costs[DYNAMIC_WAYS][DYNAMIC_TRIAL_ROUNDS];
    uint64_t overhead;
    /* stable: */
    uint64_t usual_misses, most_misses, alarm_misses; /* in an epoch */
    uint32_t usual_epochs;                            /* that most_misses is of */
    uint64_t quiet_until_ns, hold_ns, calm_since_ns;  /* alarms are not heard */
    uint64_t last_change_ns;                          /* by alarm; 0: none */
    uint64_t opened_ns;
    uint64_t rest_until_ns, rest_ns;
    /* decisions: */
    bool is_noted; /* what is carried out belongs to the last one; if not, to the next: */
    uint32_t spent_batches;
    uint64_t spent_ns;
    struct dynamic_decision decisions[DYNAMIC_DECISIONS]; /* ring */
};

/* Learning is switched on, as if it never had been, but for what the slots name; or off. All zero
 * is off. */
void dynamic_choice_switch(struct dynamic_choice *choice, bool is_on, uint32_t slot_count,
                           uint64_t now_ns);

/* A person has named the targets: the slots name them. */
void dynamic_choice_pin(struct dynamic_choice *choice, const struct dynamic_targets *targets,
                        uint64_t now_ns);

/* An epoch of the wish is over: sets wish and next_ns. Not called in states off and pinned, nor
 * while the call is not what was wished. Ignored before next_ns, but for epochs of a trial. */
void dynamic_choice_measured(struct dynamic_choice *choice, const struct dynamic_terms *terms,
                             const struct dynamic_epoch *epoch);

/* The call is what was wished, by @batches batches (0 if it was so before) that took @cost_ns. An
 * epoch begins. */
void dynamic_choice_formed(struct dynamic_choice *choice, uint32_t batches, uint64_t cost_ns,
                           uint64_t now_ns);

/* It could not be made so: the slots name what they named, and learning begins anew, later. If it
 * could not even be made to rest, that is to be tried again at next_ns, which is ever later. */
void dynamic_choice_refused(struct dynamic_choice *choice, uint64_t now_ns);

/* @target is gone: no score names it any more, and no slot, in what it was before or is wished to
 * be; the slots that named it are empty, the others as they were. Pinned with nothing left: off.
 * @now_ns 0: not known. */
void dynamic_choice_forget(struct dynamic_choice *choice, uint64_t target, uint64_t now_ns);

/* Names for people: "learning", "off", ...; "?" if unknown. */
const char *dynamic_state_name(enum dynamic_state state);
const char *dynamic_reason_name(enum dynamic_reason reason);
const char *dynamic_compare_name(enum dynamic_compare compare); /* "imm", "mem" */
