// SPDX-License-Identifier: MIT
/* See dispatcher_verdict.h. Invariant: no sum overflows: costs are below 2^48, a 32-bit gap in
 * 1/TRIAL_COST_UNIT ticks. Called by: dispatcher_choice.c. */
#include "patching/dispatcher_verdict.h"

enum {
    ROUNDS = DISPATCHER_TRIAL_ROUNDS,
    COSTS = DISPATCHER_SHAPE_COUNT * ROUNDS,
    NOISES = 4,         /* the margin, in units of the noise */
    MARGIN_SHIFT = 5,   /* 1/32: 3 % */
    NET_SHARE = 8,      /* at least an eighth of a cost is not the recorder's */
    ROUNDS_TO_JUDGE = 2 /* before a candidate is given up */
};

static void values_insert(uint64_t *values, uint32_t count, uint64_t value)
{
    while (count > 0 && values[count - 1] > value) {
        values[count] = values[count - 1];
        count--;
    }
    values[count] = value;
}

uint64_t dispatcher_verdict_cost(dispatcher_epochs epochs)
{
    uint64_t sorted[ROUNDS];
    uint64_t sum = 0;
    uint32_t count = 0;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (epochs[round] != 0) {
            values_insert(sorted, count++, epochs[round]);
        }
    }
    uint32_t cheaper = (count + 1) / 2;

    for (uint32_t i = 0; i < cheaper; i++) {
        /* cppcheck-suppress uninitvar; values_insert() has written what is below @count */
        sum += sorted[i];
    }
    return count != 0 ? sum / cheaper : 0;
}

static enum dispatcher_shape cheapest(dispatcher_epochs *epochs, uint32_t candidates)
{
    enum dispatcher_shape best = (enum dispatcher_shape)__builtin_ctz(candidates);

    for (enum dispatcher_shape shape = best; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        if ((candidates & 1u << shape) != 0 &&
            dispatcher_verdict_cost(epochs[shape]) < dispatcher_verdict_cost(epochs[best])) {
            best = shape;
        }
    }
    return best;
}

static uint64_t lowest(dispatcher_epochs epochs)
{
    uint64_t low = UINT64_MAX;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        low = epochs[round] != 0 && epochs[round] < low ? epochs[round] : low;
    }
    return low;
}

/* Its best epoch is compared, with room: where another thread shares the core for some epochs, they
 * take 1.4 times as long, and those of one shape are not those of another. */
uint32_t dispatcher_verdict_hopeful(dispatcher_epochs *epochs, uint32_t candidates,
                                    enum dispatcher_shape current, uint32_t rounds)
{
    uint64_t best = dispatcher_verdict_cost(epochs[cheapest(epochs, candidates)]);
    uint64_t limit = best + (rounds <= ROUNDS_TO_JUDGE ? best / 2 : best / 4);
    uint32_t hopeful = 1u << current;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        if ((candidates & 1u << shape) != 0 &&
            (rounds < ROUNDS_TO_JUDGE || lowest(epochs[shape]) <= limit)) {
            hopeful |= 1u << shape;
        }
    }
    return hopeful;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t most(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* How far an epoch is from the cost of its shape: half of them, of all candidates, are not further.
 * The rest may be interrupts. */
static uint64_t trial_noise(const struct dispatcher_trial *trial)
{
    uint64_t sorted[COSTS];
    uint32_t count = 0;

    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        uint64_t cost = dispatcher_verdict_cost(trial->epochs[shape]);

        for (uint32_t round = 0; (trial->candidates & 1u << shape) != 0 && round < ROUNDS;
             round++) {
            if (trial->epochs[shape][round] != 0) {
                values_insert(sorted, count++, distance(trial->epochs[shape][round], cost));
            }
        }
    }
    /* cppcheck-suppress uninitvar; as above */
    return count != 0 ? sorted[count / 2] : 0;
}

/* 3 % of what is not the recorder's, which is the same for all shapes and would hide them. */
static uint64_t margin_of(const struct dispatcher_trial *trial, uint64_t cost)
{
    uint64_t least = cost / NET_SHARE;
    uint64_t net = cost > trial->overhead + least ? cost - trial->overhead : least;

    return net >> MARGIN_SHIFT;
}

static bool wins_most_rounds(dispatcher_epochs winner, dispatcher_epochs loser)
{
    uint32_t rounds = 0;
    uint32_t won = 0;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        if (winner[round] != 0 && loser[round] != 0) {
            rounds++;
            won += winner[round] < loser[round];
        }
    }
    return won * 2 > rounds;
}

enum dispatcher_shape dispatcher_verdict_shape(const struct dispatcher_trial *trial)
{
    dispatcher_epochs *epochs = trial->epochs;
    enum dispatcher_shape best = cheapest(epochs, trial->candidates);
    uint64_t current = dispatcher_verdict_cost(epochs[trial->current]);
    uint64_t none = dispatcher_verdict_cost(epochs[DISPATCHER_NONE]);
    uint64_t saved = current - dispatcher_verdict_cost(epochs[best]);
    bool has_none = (trial->candidates & 1u << DISPATCHER_NONE) != 0; /* was not hopeless */
    uint64_t noise = trial_noise(trial) * NOISES;
    uint64_t margin = margin_of(trial, current);

    if (current > none + least(margin_of(trial, none), noise)) {
        return best; /* dispatching does harm */
    }
    if (has_none && !trial->is_routine && none <= current - saved + noise) {
        return DISPATCHER_NONE; /* as good as the best, as far as one can tell */
    }
    margin = trial->is_routine ? 2 * most(margin, noise) : least(margin, noise);
    return saved > margin && wins_most_rounds(epochs[best], epochs[trial->current])
               ? best
               : trial->current;
}
