// SPDX-License-Identifier: MIT
/* See dynamic_trial.h. Invariant: the wish is way `turn` of round `round`; the order of a round is
 * the other way round than that of the last. Called by: dynamic_choice.c. */
#include "patching/dynamic_trial.h"

#include "patching/bytes.h"
#include "patching/dynamic_decision.h"
#include "patching/trial.h"

enum {
    UNTIMED_MOST = 4, /* epochs in a row without a gap between two calls */
    EMPTY_MOST = 20   /* without a call */
};

bool dynamic_trial_shares_pay(uint64_t inside, uint64_t total)
{
    return inside >= total - total / 4;
}

uint64_t dynamic_trial_cost_ns(uint64_t cost, const struct dynamic_terms *terms)
{
    return terms->ticks_to_ns(cost * (DYNAMIC_MANY_CALLS / TRIAL_COST_UNIT));
}

static enum dynamic_way way_of_turn(const struct dynamic_choice *choice)
{
    return (enum dynamic_way)((choice->turn + choice->round) % DYNAMIC_WAYS);
}

static void turn_begin(struct dynamic_choice *choice, uint64_t now_ns)
{
    choice->wish.goes_through = way_of_turn(choice) == DYNAMIC_WAY_CHAIN;
    choice->next_ns = now_ns + DYNAMIC_EPOCH_NS;
}

void dynamic_trial_begin(struct dynamic_choice *choice, uint64_t now_ns)
{
    choice->state = DYNAMIC_TRYING;
    choice->untried = choice->present;
    choice->round = choice->turn = choice->untimed = choice->empty = 0;
    choice->overhead = 0;
    bytes_clear(choice->costs, sizeof(choice->costs));
    dynamic_decision_begin(choice);
    choice->wish.is_timed = true;
    turn_begin(choice, now_ns);
}

/* @is_cheaper: the chain. */
static void trial_end(struct dynamic_choice *choice, bool is_cheaper, enum dynamic_reason reason,
                      uint64_t now_ns)
{
    struct dynamic_targets targets = choice->present;
    struct dynamic_targets old = choice->untried;

    if (is_cheaper) {
        dynamic_choice_open(choice, &targets, &old, reason, now_ns);
    } else {
        dynamic_choice_rest(choice, &old, now_ns);
    }
}

static void shares_decide(struct dynamic_choice *choice, uint64_t now_ns)
{
    uint64_t inside = dynamic_scores_inside(&choice->scores, &choice->present);
    uint64_t total = dynamic_scores_total(&choice->scores);

    trial_end(choice, dynamic_trial_shares_pay(inside, total), DYNAMIC_REASON_SHARES, now_ns);
}

static void times_decide(struct dynamic_choice *choice, const struct dynamic_terms *terms,
                         uint32_t candidates, uint64_t now_ns)
{
    const struct way_trial trial = {
        .epochs = choice->costs,
        .candidates = candidates,
        .current = DYNAMIC_WAY_SLOW,
        .plain = DYNAMIC_WAY_SLOW,
        .overhead = choice->overhead,
        .is_routine = choice->is_routine,
    };
    uint64_t slow = way_verdict_cost(choice->costs[DYNAMIC_WAY_SLOW]);
    uint64_t chain = way_verdict_cost(choice->costs[DYNAMIC_WAY_CHAIN]);

    choice->saving = slow > chain ? slow - chain : 0;
    choice->saving_ns = dynamic_trial_cost_ns(choice->saving, terms);
    trial_end(choice, way_verdict_choose(&trial) == DYNAMIC_WAY_CHAIN, DYNAMIC_REASON_CHEAPER,
              now_ns);
}

static void not_timed(struct dynamic_choice *choice, const struct dynamic_epoch *epoch)
{
    bool is_empty = epoch->census.total == 0;

    choice->empty = is_empty ? choice->empty + 1 : 0;
    choice->untimed += !is_empty;
    if (choice->untimed == UNTIMED_MOST) {
        shares_decide(choice, epoch->now_ns);
    } else if (choice->empty == EMPTY_MOST) {
        dynamic_choice_give_up(choice, epoch->now_ns);
    } else {
        turn_begin(choice, epoch->now_ns);
    }
}

void dynamic_trial_measured(struct dynamic_choice *choice, const struct dynamic_terms *terms,
                            const struct dynamic_epoch *epoch)
{
    uint32_t candidates = (1u << DYNAMIC_WAYS) - 1;

    if (epoch->cost == 0) {
        not_timed(choice, epoch);
        return;
    }
    choice->untimed = choice->empty = 0;
    choice->overhead = epoch->overhead;
    choice->costs[way_of_turn(choice)][choice->round] = epoch->cost;
    if (++choice->turn == DYNAMIC_WAYS) {
        choice->turn = 0;
        choice->round++;
        candidates =
            way_verdict_hopeful(choice->costs, candidates, DYNAMIC_WAY_SLOW, choice->round);
    }
    if (choice->round == DYNAMIC_TRIAL_ROUNDS || candidates == 1u << DYNAMIC_WAY_SLOW) {
        times_decide(choice, terms, candidates, epoch->now_ns);
    } else {
        turn_begin(choice, epoch->now_ns);
    }
}
