// SPDX-License-Identifier: MIT
/* See way_verdict.h. Invariant: no sum overflows: costs are below 2^48, a 32-bit gap in
 * 1/TRIAL_COST_UNIT ticks. Called by: dispatcher_choice.c, dynamic_trial.c. */
#include "patching/way_verdict.h"

enum {
    ROUNDS = WAY_ROUNDS,
    COSTS = WAYS_MAX * ROUNDS,
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

uint64_t way_verdict_cost(way_epochs epochs)
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

static uint32_t cheapest(way_epochs *epochs, uint32_t candidates)
{
    uint32_t best = (uint32_t)__builtin_ctz(candidates);

    for (uint32_t way = best; way < WAYS_MAX; way++) {
        if ((candidates & 1u << way) != 0 &&
            way_verdict_cost(epochs[way]) < way_verdict_cost(epochs[best])) {
            best = way;
        }
    }
    return best;
}

static uint64_t lowest(way_epochs epochs)
{
    uint64_t low = UINT64_MAX;

    for (uint32_t round = 0; round < ROUNDS; round++) {
        low = epochs[round] != 0 && epochs[round] < low ? epochs[round] : low;
    }
    return low;
}

/* Its best epoch is compared, with room: where another thread shares the core for some epochs, they
 * take 1.4 times as long, and those of one way are not those of another. */
uint32_t way_verdict_hopeful(way_epochs *epochs, uint32_t candidates, uint32_t current,
                             uint32_t rounds)
{
    uint64_t best = way_verdict_cost(epochs[cheapest(epochs, candidates)]);
    uint64_t limit = best + (rounds <= ROUNDS_TO_JUDGE ? best / 2 : best / 4);
    uint32_t hopeful = 1u << current;

    for (uint32_t way = 0; way < WAYS_MAX; way++) {
        if ((candidates & 1u << way) != 0 &&
            (rounds < ROUNDS_TO_JUDGE || lowest(epochs[way]) <= limit)) {
            hopeful |= 1u << way;
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

/* How far an epoch is from the cost of its way: half of them, of all candidates, are not further.
 * The rest may be interrupts. */
static uint64_t trial_noise(const struct way_trial *trial)
{
    uint64_t sorted[COSTS];
    uint32_t count = 0;

    for (uint32_t way = 0; way < WAYS_MAX; way++) {
        if ((trial->candidates & 1u << way) == 0) {
            continue;
        }
        uint64_t cost = way_verdict_cost(trial->epochs[way]);

        for (uint32_t round = 0; round < ROUNDS; round++) {
            if (trial->epochs[way][round] != 0) {
                values_insert(sorted, count++, distance(trial->epochs[way][round], cost));
            }
        }
    }
    /* cppcheck-suppress uninitvar; as above */
    return count != 0 ? sorted[count / 2] : 0;
}

/* 3 % of what is not the recorder's, which is the same for all ways and would hide them. */
static uint64_t margin_of(const struct way_trial *trial, uint64_t cost)
{
    uint64_t least = cost / NET_SHARE;
    uint64_t net = cost > trial->overhead + least ? cost - trial->overhead : least;

    return net >> MARGIN_SHIFT;
}

static bool wins_most_rounds(way_epochs winner, way_epochs loser)
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

uint32_t way_verdict_choose(const struct way_trial *trial)
{
    way_epochs *epochs = trial->epochs;
    uint32_t best = cheapest(epochs, trial->candidates);
    uint64_t current = way_verdict_cost(epochs[trial->current]);
    uint64_t plain = way_verdict_cost(epochs[trial->plain]);
    uint64_t saved = current - way_verdict_cost(epochs[best]);
    bool has_plain = (trial->candidates & 1u << trial->plain) != 0; /* was not hopeless */
    uint64_t noise = trial_noise(trial) * NOISES;
    uint64_t margin = margin_of(trial, current);

    if (current > plain + least(margin_of(trial, plain), noise)) {
        return best; /* the current way does harm */
    }
    if (has_plain && !trial->is_routine && plain <= current - saved + noise) {
        return trial->plain; /* as good as the best, as far as one can tell */
    }
    margin = trial->is_routine ? 2 * most(margin, noise) : least(margin, noise);
    return saved > margin && wins_most_rounds(epochs[best], epochs[trial->current])
               ? best
               : trial->current;
}
