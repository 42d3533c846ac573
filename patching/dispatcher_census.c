// SPDX-License-Identifier: MIT
/* See dispatcher_census.h. Invariant: integers alone; nothing overflows for 2^31 samples. Called
 * by: dispatcher_choice.c, dispatcher_auto.c. */
#include "patching/dispatcher_census.h"

/* The number of the entry whose target is @target; @entries if there is none. */
static uint32_t entry_find(const uint64_t *targets, uint32_t entries, uint64_t target)
{
    uint32_t low = 0;
    uint32_t high = entries;

    while (low < high) {
        uint32_t middle = (low + high) / 2;

        if ((int64_t)targets[middle] < (int64_t)target) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < entries && targets[low] == target ? low : entries;
}

void dispatcher_census_count(struct dispatcher_census *census, const struct trial_sample *samples,
                             uint32_t sample_count, const uint64_t *targets, uint32_t entries)
{
    for (uint32_t i = 0; i < sample_count; i++) {
        uint64_t target = __atomic_load_n(&samples[i].target, __ATOMIC_RELAXED);
        uint32_t entry = entry_find(targets, entries, target);

        census->calls[entry < entries ? entry : 0] += entry < entries;
        census->misses += entry == entries;
    }
    census->total += sample_count;
}

void dispatcher_census_add(struct dispatcher_census *census, const struct dispatcher_census *more)
{
    for (uint32_t i = 0; i < DISPATCHER_ENTRY_MAX; i++) {
        census->calls[i] += more->calls[i];
    }
    census->misses += more->misses;
    census->total += more->total;
}

/* Shares, and what is made of them, in 1/SHARE_UNIT. */
#define SHARE_UNIT 65536u

static uint64_t share(uint32_t part, uint32_t total)
{
    return (uint64_t)part * SHARE_UNIT / total;
}

static uint64_t distance(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

static uint64_t square_root(uint64_t value)
{
    uint64_t root = 0;

    for (uint64_t bit = 1ull << 31; bit != 0; bit >>= 1) {
        if ((root | bit) * (root | bit) <= value) {
            root |= bit;
        }
    }
    return root;
}

/* Two samples of @a and @b calls from one distribution over @classes targets: each share differs by
 * sqrt(2/pi) of its deviation, sqrt(p (1/a + 1/b)), on average; the sum over all p is greatest when
 * they are alike. Half of that is sqrt(classes (1/a + 1/b) / (2 pi)), and 1/6 is near 1/(2 pi). */
static uint64_t chance(uint32_t classes, uint32_t a, uint32_t b)
{
    uint64_t square = (uint64_t)SHARE_UNIT * SHARE_UNIT;

    return square_root((square / a + square / b) * classes / 6);
}

bool dispatcher_census_differs(const struct dispatcher_census *a, const struct dispatcher_census *b)
{
    if (a->total == 0 || b->total == 0) {
        return a->total != b->total;
    }
    uint64_t sum = distance(share(a->misses, a->total), share(b->misses, b->total));
    uint32_t classes = a->misses + b->misses != 0;

    for (uint32_t i = 0; i < DISPATCHER_ENTRY_MAX; i++) {
        sum += distance(share(a->calls[i], a->total), share(b->calls[i], b->total));
        classes += a->calls[i] + b->calls[i] != 0;
    }
    return sum / 2 > SHARE_UNIT / 4 + chance(classes, a->total, b->total);
}

void dispatcher_census_rank(const struct dispatcher_census *census, uint32_t entries,
                            uint8_t *hottest)
{
    for (uint32_t i = 0; i < entries; i++) {
        uint32_t rank = i;

        while (rank > 0 && census->calls[hottest[rank - 1]] < census->calls[i]) {
            hottest[rank] = hottest[rank - 1];
            rank--;
        }
        hottest[rank] = (uint8_t)i;
    }
}
