// SPDX-License-Identifier: MIT
/* See dynamic_scores.h. Invariant: no epoch adds more than CALLS_MOST to a row, so a score is below
 * twice, and all of them together below 2^38. Called by: dynamic_choice.c. */
#include "patching/dynamic_scores.h"

enum {
    SHARE_LEAST = 32, /* one call in so many, for a slot */
    FAVOUR = 8,
    CHANCE = 4, /* standard deviations of a number of calls */
    NS_PER_US = 1000
};
#define CALLS_MOST (1ull << 32)

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

bool dynamic_targets_has(const struct dynamic_targets *targets, uint64_t target)
{
    for (uint32_t i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        if (targets->slot[i] == target) {
            return true;
        }
    }
    return false;
}

static bool targets_within(const struct dynamic_targets *some, const struct dynamic_targets *all)
{
    for (uint32_t i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        if (some->slot[i] != 0 && !dynamic_targets_has(all, some->slot[i])) {
            return false;
        }
    }
    return true;
}

bool dynamic_targets_same(const struct dynamic_targets *a, const struct dynamic_targets *b)
{
    return targets_within(a, b) && targets_within(b, a);
}

bool dynamic_targets_empty(const struct dynamic_targets *targets)
{
    static const struct dynamic_targets none;

    return targets_within(targets, &none);
}

bool dynamic_targets_remove(struct dynamic_targets *targets, uint64_t target)
{
    bool was_there = false;

    for (uint32_t i = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        if (target != 0 && targets->slot[i] == target) {
            targets->slot[i] = 0;
            was_there = true;
        }
    }
    return was_there;
}

void dynamic_targets_keep(struct dynamic_targets *targets, const struct dynamic_targets *old,
                          uint32_t slots)
{
    for (uint32_t i = 0, place = 0; i < DYNAMIC_SLOTS_MAX; i++) {
        while (place < slots && targets->slot[place] != 0) {
            place++;
        }
        if (place < slots && !dynamic_targets_has(targets, old->slot[i])) {
            targets->slot[place] = old->slot[i];
        }
    }
}

static bool row_before(const struct dynamic_row *a, const struct dynamic_row *b)
{
    return a->calls != b->calls ? a->calls > b->calls : a->target < b->target;
}

/* Into its place among rows in order; what falls out at the end is one of the others. */
static void row_insert(struct dynamic_scores *scores, struct dynamic_row row)
{
    uint32_t place = scores->row_count;

    if (place == DYNAMIC_CENSUS_ROWS) {
        struct dynamic_row *last = &scores->rows[--place];

        if (row_before(last, &row)) {
            scores->others += row.calls;
            return;
        }
        scores->others += last->calls;
    } else {
        scores->row_count++;
    }
    for (; place > 0 && row_before(&row, &scores->rows[place - 1]); place--) {
        scores->rows[place] = scores->rows[place - 1];
    }
    scores->rows[place] = row;
}

/* Returns the calls that it had. */
static uint64_t row_remove(struct dynamic_scores *scores, uint64_t target)
{
    for (uint32_t i = 0; i < scores->row_count; i++) {
        if (scores->rows[i].target == target) {
            uint64_t calls = scores->rows[i].calls;

            scores->row_count--;
            for (; i < scores->row_count; i++) {
                scores->rows[i] = scores->rows[i + 1];
            }
            return calls;
        }
    }
    return 0;
}

/* The order stays; rows that have nothing left are gone. */
static void scores_halve(struct dynamic_scores *scores)
{
    for (uint32_t i = 0; i < scores->row_count; i++) {
        scores->rows[i].calls /= 2;
        if (scores->rows[i].calls == 0) {
            scores->row_count = i;
        }
    }
    scores->others /= 2;
    scores->length_us /= 2;
}

void dynamic_scores_add(struct dynamic_scores *scores, const struct dynamic_census *census,
                        uint64_t length_ns)
{
    scores_halve(scores);
    for (uint32_t i = 0; i < census->row_count && i < DYNAMIC_CENSUS_ROWS; i++) {
        struct dynamic_row row = census->rows[i];

        if (row.target != 0 && row.calls != 0) {
            row.calls = least(row.calls, CALLS_MOST) + row_remove(scores, row.target);
            row_insert(scores, row);
        }
    }
    scores->others += least(census->others, CALLS_MOST);
    scores->length_us += length_ns / NS_PER_US;
}

void dynamic_scores_forget(struct dynamic_scores *scores, uint64_t target)
{
    (void)row_remove(scores, target);
}

uint64_t dynamic_scores_total(const struct dynamic_scores *scores)
{
    uint64_t total = scores->others;

    for (uint32_t i = 0; i < scores->row_count; i++) {
        total += scores->rows[i].calls;
    }
    return total;
}

uint64_t dynamic_scores_inside(const struct dynamic_scores *scores,
                               const struct dynamic_targets *targets)
{
    uint64_t inside = 0;

    for (uint32_t i = 0; i < scores->row_count; i++) {
        inside += dynamic_targets_has(targets, scores->rows[i].target) ? scores->rows[i].calls : 0;
    }
    return inside;
}

static uint64_t root(uint64_t value)
{
    uint64_t result = 0;

    for (uint64_t bit = 1ull << 31; bit != 0; bit /= 2) {
        result += (result + bit) * (result + bit) <= value ? bit : 0;
    }
    return result;
}

/* What who is in counts more: an eighth, and what may be chance in two numbers of calls. */
static uint64_t favour_of(uint64_t calls)
{
    return calls / FAVOUR + CHANCE * root(calls);
}

struct dynamic_targets dynamic_scores_best(const struct dynamic_scores *scores,
                                           const struct dynamic_targets *favoured, uint32_t slots)
{
    struct dynamic_targets best = {{0}};
    uint64_t wanted = dynamic_scores_total(scores) / SHARE_LEAST;

    for (uint32_t slot = 0; slot < slots; slot++) {
        uint64_t highest = 0;

        for (uint32_t i = 0; i < scores->row_count; i++) {
            const struct dynamic_row *row = &scores->rows[i];
            bool is_in = dynamic_targets_has(favoured, row->target);
            uint64_t weight = row->calls + (is_in ? favour_of(row->calls) : 0);

            if (weight > highest && weight >= wanted && !dynamic_targets_has(&best, row->target)) {
                highest = weight;
                best.slot[slot] = row->target;
            }
        }
    }
    return best;
}

uint64_t dynamic_scores_rate(uint64_t calls, uint64_t length_us, uint64_t wanted_us)
{
    return calls * wanted_us / (length_us != 0 ? length_us : 1);
}
