// SPDX-License-Identifier: MIT
/* What epochs lead to; see dynamic_choice.h. Trials are in dynamic_trial.c. Invariant: the wish is
 * of the state: open in stable and pinned alone, timed in trying alone. Called by: dynamic_auto.c,
 * dynamic_call.c (forget). */
#include "patching/dynamic_choice.h"

#include "patching/bytes.h"
#include "patching/dynamic_decision.h"
#include "patching/dynamic_trial.h"

#define INTERVAL_MOST_NS 64000000000ull
#define REST_LEAST_NS    1000000000ull
#define EPOCH_US         (DYNAMIC_EPOCH_NS / 1000)
#define PAYBACK_US       (DYNAMIC_PAYBACK_NS / 1000)
#define SAVING_MOST      (1ull << 32)
enum {
    UNDECIDED_MOST = 16, /* epochs that pay, and do not agree */
    ALARM_LEAST = 64,    /* misses: fewer are chance */
    MARGIN = 8,          /* one in so many */
    CALM_HOLDS = 8,
    USUAL_EPOCHS = 32 /* what is usual goes down to the most in so many */
};

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t doubled(uint64_t interval_ns, uint64_t least_ns)
{
    uint64_t twice = most(2 * interval_ns, least_ns);

    return twice < INTERVAL_MOST_NS ? twice : INTERVAL_MOST_NS;
}

static uint64_t since(uint64_t then_ns, uint64_t now_ns)
{
    return now_ns > then_ns ? now_ns - then_ns : 0;
}

static void enter(struct dynamic_choice *choice, enum dynamic_state state,
                  enum dynamic_reason reason)
{
    choice->state = state;
    choice->reason = reason;
}

static void wish(struct dynamic_choice *choice, const struct dynamic_targets *targets, bool is_open,
                 bool is_watched)
{
    choice->wish =
        (struct dynamic_wish){.targets = *targets, .is_open = is_open, .is_watched = is_watched};
}

/* Whether @calls of what the scores are of earn back a change. */
static bool pays(const struct dynamic_choice *choice, uint64_t calls, uint64_t length_us)
{
    return calls != 0 && dynamic_scores_rate(calls, length_us, PAYBACK_US) >=
                             dynamic_decision_break_even(choice->change_cost_ns, choice->saving_ns);
}

/* From nothing. */
static void learn(struct dynamic_choice *choice, enum dynamic_reason reason, uint64_t now_ns)
{
    enter(choice, DYNAMIC_LEARNING, reason);
    bytes_clear(&choice->scores, sizeof(choice->scores));
    choice->candidate = (struct dynamic_targets){{0}};
    choice->agreed = choice->undecided = choice->few = 0;
    choice->rest_until_ns = 0;
    wish(choice, &choice->present, false, true);
    choice->next_ns = now_ns + DYNAMIC_EPOCH_NS;
}

/* The same, as a decision of the policy's. */
static void learn_anew(struct dynamic_choice *choice, enum dynamic_reason reason, uint64_t now_ns)
{
    wish(choice, &choice->present, false, true);
    dynamic_decision_note(choice, DYNAMIC_LEARNING, reason, &choice->present, now_ns);
    learn(choice, reason, now_ns);
}

void dynamic_choice_switch(struct dynamic_choice *choice, bool is_on, uint32_t slot_count,
                           uint64_t now_ns)
{
    choice->slot_count = slot_count < DYNAMIC_SLOTS_MAX ? slot_count : DYNAMIC_SLOTS_MAX;
    choice->is_alarmed = false;
    choice->hold_ns = choice->quiet_until_ns = choice->last_change_ns = 0;
    choice->rest_ns = 0;
    choice->is_present_learnt = false;
    choice->spent_batches = 0;
    choice->spent_ns = 0;
    dynamic_decision_begin(choice);
    learn(choice, DYNAMIC_REASON_NEW, now_ns);
    if (!is_on) {
        enter(choice, DYNAMIC_OFF, DYNAMIC_REASON_HAND);
        wish(choice, &choice->present, false, false);
        choice->next_ns = UINT64_MAX;
    }
}

void dynamic_choice_pin(struct dynamic_choice *choice, const struct dynamic_targets *targets,
                        uint64_t now_ns)
{
    bool is_same = dynamic_targets_same(targets, &choice->present);

    dynamic_choice_switch(choice, false, choice->slot_count, now_ns);
    enter(choice, DYNAMIC_PINNED, DYNAMIC_REASON_HAND);
    choice->present = *targets;
    choice->changes += !is_same;
    wish(choice, &choice->present, true, false);
}

/* An alarm has led to something. */
static void alarm_end(struct dynamic_choice *choice, bool is_changed, uint64_t now_ns)
{
    if (!choice->is_alarmed) {
        return;
    }
    uint64_t calm_ns = most(DYNAMIC_CALM_NS, CALM_HOLDS * choice->hold_ns);
    bool is_soon = choice->last_change_ns != 0 && since(choice->last_change_ns, now_ns) < calm_ns;

    choice->is_alarmed = false;
    if (is_soon || !is_changed) {
        choice->hold_ns = doubled(choice->hold_ns, DYNAMIC_HOLD_NS);
    }
    if (is_changed) {
        choice->last_change_ns = now_ns;
    }
}

void dynamic_choice_open(struct dynamic_choice *choice, const struct dynamic_targets *targets,
                         const struct dynamic_targets *old, enum dynamic_reason reason,
                         uint64_t now_ns)
{
    uint64_t outside =
        dynamic_scores_total(&choice->scores) - dynamic_scores_inside(&choice->scores, targets);

    wish(choice, targets, true, true);
    dynamic_decision_note(choice, DYNAMIC_STABLE, reason, old, now_ns);
    choice->usual_misses = dynamic_scores_rate(outside, choice->scores.length_us, EPOCH_US);
    if (choice->is_alarmed && dynamic_targets_same(targets, old)) {
        choice->usual_misses = most(choice->usual_misses, choice->alarm_misses);
    }
    choice->most_misses = choice->usual_epochs = 0;
    alarm_end(choice, !dynamic_targets_same(targets, old), now_ns);
    choice->quiet_until_ns = now_ns + choice->hold_ns;
    choice->calm_since_ns = now_ns;
    choice->opened_ns = now_ns;
    enter(choice, DYNAMIC_STABLE, reason);
    choice->next_ns = now_ns + DYNAMIC_EPOCH_NS;
}

static void rest_longer(struct dynamic_choice *choice, uint64_t now_ns)
{
    choice->rest_ns = doubled(choice->rest_ns, REST_LEAST_NS);
    choice->next_ns = choice->rest_until_ns = now_ns + choice->rest_ns;
}

/* With the watch off: for a time, ever longer. */
static void rest(struct dynamic_choice *choice, enum dynamic_reason reason,
                 const struct dynamic_targets *old, uint64_t now_ns)
{
    wish(choice, &choice->present, false, false);
    dynamic_decision_note(choice, DYNAMIC_RESTING, reason, old, now_ns);
    alarm_end(choice, !dynamic_targets_same(&choice->present, old), now_ns);
    enter(choice, DYNAMIC_RESTING, reason);
    rest_longer(choice, now_ns);
}

void dynamic_choice_rest(struct dynamic_choice *choice, const struct dynamic_targets *old,
                         uint64_t now_ns)
{
    rest(choice, DYNAMIC_REASON_UNPREDICTABLE, old, now_ns);
}

/* With the watch on: until calls come. */
static void wait_for_calls(struct dynamic_choice *choice, const struct dynamic_targets *old,
                           uint64_t now_ns)
{
    wish(choice, &choice->present, false, true);
    if (choice->state != DYNAMIC_RESTING) {
        dynamic_decision_note(choice, DYNAMIC_RESTING, DYNAMIC_REASON_FEW_CALLS, old, now_ns);
    }
    enter(choice, DYNAMIC_RESTING, DYNAMIC_REASON_FEW_CALLS);
    choice->next_ns = now_ns + DYNAMIC_EPOCH_NS;
}

void dynamic_choice_give_up(struct dynamic_choice *choice, uint64_t now_ns)
{
    rest_longer(choice, now_ns);
    wait_for_calls(choice, &choice->untried, now_ns);
}

/* Whether @targets are so much better than what the slots name that the slots are to change. */
static bool is_better(const struct dynamic_choice *choice, const struct dynamic_targets *targets)
{
    uint64_t total = dynamic_scores_total(&choice->scores);
    uint64_t before = dynamic_scores_inside(&choice->scores, &choice->present);
    uint64_t after = dynamic_scores_inside(&choice->scores, targets);

    return after > before + before / MARGIN || 2 * (total - after) < total - before;
}

/* What the slots are to name: if that is the set that is there, in the order that it has. */
static struct dynamic_targets targets_wanted(const struct dynamic_choice *choice)
{
    struct dynamic_targets targets = choice->candidate;

    if (choice->is_alarmed) {
        dynamic_targets_keep(&targets, &choice->present, choice->slot_count);
    }
    bool stays = dynamic_targets_same(&targets, &choice->present) ||
                 (choice->is_present_learnt && !is_better(choice, &targets));

    return stays ? choice->present : targets;
}

/* DYNAMIC_AGREE epochs have named the candidate. */
static void candidate_take(struct dynamic_choice *choice, uint64_t now_ns)
{
    const struct dynamic_scores *scores = &choice->scores;
    struct dynamic_targets targets = targets_wanted(choice);
    uint64_t inside = dynamic_scores_inside(scores, &targets);
    uint64_t total = dynamic_scores_total(scores);
    bool is_same = dynamic_targets_same(&targets, &choice->present);

    if (!pays(choice, inside, scores->length_us)) {
        dynamic_choice_rest(choice, &choice->present, now_ns);
    } else if (is_same && choice->is_alarmed && dynamic_trial_shares_pay(inside, total)) {
        dynamic_choice_open(choice, &targets, &choice->present, DYNAMIC_REASON_SAME, now_ns);
    } else if (scores->rows[0].calls >= total - total / 8) {
        dynamic_choice_open(choice, &targets, &choice->present, DYNAMIC_REASON_HOT, now_ns);
    } else {
        choice->is_routine = choice->reason == DYNAMIC_REASON_RETRY;
        wish(choice, &targets, false, true);
        dynamic_trial_begin(choice, now_ns);
    }
}

static void candidate_choose(struct dynamic_choice *choice)
{
    const struct dynamic_targets *favoured =
        choice->agreed != 0 ? &choice->candidate : &choice->present;
    struct dynamic_targets best =
        dynamic_scores_best(&choice->scores, favoured, choice->slot_count);
    bool agrees = choice->agreed != 0 && dynamic_targets_same(&best, &choice->candidate);

    choice->agreed = agrees ? choice->agreed + 1 : 1;
    choice->candidate = best;
}

/* Every call was counted: an epoch of learning, or of waiting for calls. */
static void counted(struct dynamic_choice *choice, const struct dynamic_epoch *epoch)
{
    struct dynamic_scores *scores = &choice->scores;

    choice->next_ns = epoch->now_ns + DYNAMIC_EPOCH_NS;
    dynamic_scores_add(scores, &epoch->census, epoch->length_ns);
    candidate_choose(choice);
    if (!pays(choice, dynamic_scores_total(scores), scores->length_us)) {
        choice->undecided = 0;
        if (++choice->few >= DYNAMIC_AGREE) {
            wait_for_calls(choice, &choice->present, epoch->now_ns);
        }
        return;
    }
    choice->few = 0;
    if (epoch->now_ns < choice->rest_until_ns) {
        return;
    }
    if (choice->agreed >= DYNAMIC_AGREE) {
        candidate_take(choice, epoch->now_ns);
    } else if (++choice->undecided >= UNDECIDED_MOST) {
        dynamic_choice_rest(choice, &choice->present, epoch->now_ns);
    }
}

/* What is usual goes down to the most misses in a row of epochs. */
static void usual_lower(struct dynamic_choice *choice, uint64_t misses)
{
    choice->most_misses = most(choice->most_misses, misses);
    if (++choice->usual_epochs == USUAL_EPOCHS) {
        if (choice->most_misses < choice->usual_misses) {
            choice->usual_misses = choice->most_misses;
        }
        choice->most_misses = choice->usual_epochs = 0;
    }
}

/* The decision shows who was missed. */
static void alarm(struct dynamic_choice *choice, const struct dynamic_epoch *epoch)
{
    if (since(choice->opened_ns, epoch->now_ns) >= CALM_HOLDS * choice->rest_ns) {
        choice->rest_ns = 0;
    }
    choice->is_alarmed = true;
    bytes_clear(&choice->scores, sizeof(choice->scores));
    dynamic_scores_add(&choice->scores, &epoch->census, epoch->length_ns);
    learn_anew(choice, DYNAMIC_REASON_MISSES, epoch->now_ns);
}

/* The calls that no slot names were counted. */
static void missed(struct dynamic_choice *choice, const struct dynamic_epoch *epoch)
{
    uint64_t now_ns = epoch->now_ns;
    uint64_t misses = dynamic_scores_rate(epoch->census.total, epoch->length_ns / 1000, EPOCH_US);
    bool is_unusual =
        misses > 2 * choice->usual_misses + ALARM_LEAST && pays(choice, misses, EPOCH_US);

    choice->next_ns = now_ns + DYNAMIC_EPOCH_NS;
    usual_lower(choice, misses);
    if (is_unusual && now_ns >= choice->quiet_until_ns) {
        choice->alarm_misses = misses;
        alarm(choice, epoch);
    } else if (is_unusual) {
        choice->calm_since_ns = now_ns;
    } else if (since(choice->calm_since_ns, now_ns) >= CALM_HOLDS * choice->hold_ns) {
        choice->hold_ns = choice->hold_ns > DYNAMIC_HOLD_NS ? choice->hold_ns / 2 : 0;
        choice->calm_since_ns = now_ns;
    }
}

static void terms_take(struct dynamic_choice *choice, const struct dynamic_terms *terms)
{
    uint64_t saving = terms->saving < SAVING_MOST ? terms->saving : SAVING_MOST;

    choice->saving = saving;
    choice->saving_ns = dynamic_trial_cost_ns(saving, terms);
    choice->change_cost_ns = terms->change_ns;
}

void dynamic_choice_measured(struct dynamic_choice *choice, const struct dynamic_terms *terms,
                             const struct dynamic_epoch *epoch)
{
    bool is_whole = choice->state == DYNAMIC_TRYING || epoch->now_ns >= choice->next_ns;

    if (choice->state == DYNAMIC_OFF || choice->state == DYNAMIC_PINNED || !is_whole) {
        return;
    }
    choice->epochs++;
    terms_take(choice, terms);
    if (choice->state == DYNAMIC_STABLE) {
        missed(choice, epoch);
    } else if (choice->state == DYNAMIC_TRYING) {
        dynamic_trial_measured(choice, terms, epoch);
    } else if (choice->wish.is_watched) {
        counted(choice, epoch);
    } else {
        learn_anew(choice, DYNAMIC_REASON_RETRY, epoch->now_ns);
    }
}

void dynamic_choice_formed(struct dynamic_choice *choice, uint32_t batches, uint64_t cost_ns,
                           uint64_t now_ns)
{
    bool is_deaf = choice->state == DYNAMIC_OFF || choice->state == DYNAMIC_PINNED;

    bool is_change = !dynamic_targets_same(&choice->wish.targets, &choice->present);

    choice->changes += is_change;
    choice->is_present_learnt |= is_change;
    choice->present = choice->wish.targets;
    dynamic_decision_spend(choice, batches, cost_ns);
    if (!is_deaf) {
        choice->next_ns =
            most(now_ns + DYNAMIC_EPOCH_NS, choice->wish.is_watched ? 0 : choice->rest_until_ns);
    }
}

void dynamic_choice_refused(struct dynamic_choice *choice, uint64_t now_ns)
{
    bool is_resting = choice->state == DYNAMIC_RESTING && !choice->wish.is_watched;

    if (choice->state == DYNAMIC_OFF || choice->state == DYNAMIC_PINNED) {
        return;
    }
    if (is_resting) {
        rest_longer(choice, now_ns);
    } else {
        rest(choice, DYNAMIC_REASON_FAILED, &choice->present, now_ns);
    }
}

/* Targets are gone that the slots named, or were to name. */
static void present_lost(struct dynamic_choice *choice, uint64_t now_ns)
{
    bool is_left = !dynamic_targets_empty(&choice->present);

    if (choice->state == DYNAMIC_STABLE && is_left) {
        dynamic_decision_note(choice, DYNAMIC_STABLE, DYNAMIC_REASON_FORGOTTEN, &choice->present,
                              now_ns);
    } else if (choice->state == DYNAMIC_STABLE || choice->state == DYNAMIC_TRYING) {
        learn_anew(choice, DYNAMIC_REASON_FORGOTTEN, now_ns);
    } else if (choice->state == DYNAMIC_PINNED && !is_left) {
        dynamic_choice_switch(choice, false, choice->slot_count, now_ns);
        choice->reason = DYNAMIC_REASON_FORGOTTEN;
    }
}

void dynamic_choice_forget(struct dynamic_choice *choice, uint64_t target, uint64_t now_ns)
{
    bool was_wished = dynamic_targets_remove(&choice->wish.targets, target);
    bool was_present = dynamic_targets_remove(&choice->present, target);

    (void)dynamic_targets_remove(&choice->candidate, target);
    (void)dynamic_targets_remove(&choice->untried, target);
    dynamic_scores_forget(&choice->scores, target);
    if (was_wished || was_present) {
        present_lost(choice, most(now_ns, choice->epoch_start_ns));
    }
}
