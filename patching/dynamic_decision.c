// SPDX-License-Identifier: MIT
/* See dynamic_decision.h; and names for people. Invariant: a decision is in the ring until
 * DYNAMIC_DECISIONS later ones are made. Called by: dynamic_choice.c. */
#include "patching/dynamic_decision.h"

#define COST_MOST_NS (1ull << 43) /* two hours; times DYNAMIC_MANY_CALLS: fits */

uint64_t dynamic_decision_break_even(uint64_t cost_ns, uint64_t saving_ns)
{
    uint64_t cost = cost_ns < COST_MOST_NS ? cost_ns : COST_MOST_NS;

    return saving_ns != 0 ? cost * DYNAMIC_MANY_CALLS / saving_ns : UINT64_MAX;
}

void dynamic_decision_begin(struct dynamic_choice *choice)
{
    choice->is_noted = false;
}

static struct dynamic_decision *decision_last(struct dynamic_choice *choice)
{
    return &choice->decisions[(choice->decided - 1) % DYNAMIC_DECISIONS];
}

void dynamic_decision_note(struct dynamic_choice *choice, enum dynamic_state after,
                           enum dynamic_reason reason, const struct dynamic_targets *old,
                           uint64_t now_ns)
{
    choice->decided++;
    struct dynamic_decision *decision = decision_last(choice);

    decision->sequence = choice->decided;
    decision->time_ns = now_ns;
    decision->before = choice->state;
    decision->after = after;
    decision->reason = reason;
    decision->old_targets = *old;
    decision->new_targets = choice->wish.targets;
    for (uint32_t i = 0; i <= DYNAMIC_SLOTS_MAX; i++) {
        bool is_there = i < choice->scores.row_count;

        decision->scores[i] = is_there ? choice->scores.rows[i] : (struct dynamic_row){0, 0};
    }
    decision->score_total = dynamic_scores_total(&choice->scores);
    decision->batches = choice->spent_batches;
    decision->cost_ns = choice->spent_ns;
    decision->saving = choice->saving;
    decision->break_even_calls =
        dynamic_decision_break_even(choice->change_cost_ns, choice->saving_ns);
    for (uint32_t way = 0; way < DYNAMIC_WAYS; way++) {
        bool was_tried = choice->state == DYNAMIC_TRYING;

        decision->costs[way] = was_tried ? way_verdict_cost(choice->costs[way]) : 0;
    }
    choice->spent_batches = 0;
    choice->spent_ns = 0;
    choice->is_noted = true;
}

void dynamic_decision_spend(struct dynamic_choice *choice, uint32_t batches, uint64_t cost_ns)
{
    if (!choice->is_noted) {
        choice->spent_batches += batches;
        choice->spent_ns += cost_ns;
        return;
    }
    if (batches == 0) {
        return; /* an epoch like the one before */
    }
    struct dynamic_decision *decision = decision_last(choice);

    decision->batches += batches;
    decision->cost_ns += cost_ns;
    decision->break_even_calls = dynamic_decision_break_even(decision->cost_ns, choice->saving_ns);
}

static const char *name_of(const char *const *names, unsigned count, unsigned number)
{
    return number < count ? names[number] : "?";
}

const char *dynamic_state_name(enum dynamic_state state)
{
    static const char *const names[] = {"off", "pinned", "learning", "trying", "stable", "off"};

    return name_of(names, sizeof(names) / sizeof(names[0]), state);
}

const char *dynamic_reason_name(enum dynamic_reason reason)
{
    static const char *const names[DYNAMIC_REASON_COUNT] = {
        "hand",   "new",           "hot",       "cheaper", "shares",    "same",
        "misses", "unpredictable", "few-calls", "retry",   "forgotten", "failed"};

    return name_of(names, DYNAMIC_REASON_COUNT, reason);
}

const char *dynamic_compare_name(enum dynamic_compare compare)
{
    static const char *const names[DYNAMIC_COMPARE_COUNT] = {"imm", "mem"};

    return name_of(names, DYNAMIC_COMPARE_COUNT, compare);
}
