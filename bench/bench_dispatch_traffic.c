// SPDX-License-Identifier: MIT
/* The sequences of bench_dispatch_traffic.h. Invariant: whole numbers alone, so that a kernel
 * without floating point and a Linux program get the same. */
#include "bench/bench_dispatch_traffic.h"

#define BURST_PERCENT 95
#define ZIPF_UNIT     (1ull << 40) /* weight of the most frequent target */

static const char *const names[DISPATCH_TRAFFIC_COUNT] = {
    [DISPATCH_TRAFFIC_FIRST] = "first",
    [DISPATCH_TRAFFIC_LAST] = "last",
    [DISPATCH_TRAFFIC_ROUND_ROBIN] = "round-robin",
    [DISPATCH_TRAFFIC_BURST] = "burst",
    [DISPATCH_TRAFFIC_ZIPF] = "zipf",
    [DISPATCH_TRAFFIC_RANDOM] = "random",
    [DISPATCH_TRAFFIC_MISS] = "miss",
};

const char *dispatch_traffic_name(enum dispatch_traffic traffic)
{
    return traffic < DISPATCH_TRAFFIC_COUNT ? names[traffic] : "?";
}

bool dispatch_traffic_is_constant(enum dispatch_traffic traffic, uint32_t entries)
{
    return entries <= 1 || traffic == DISPATCH_TRAFFIC_FIRST || traffic == DISPATCH_TRAFFIC_LAST ||
           traffic == DISPATCH_TRAFFIC_MISS;
}

/* SplitMix64: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators". */
static uint64_t random_next(uint64_t *state)
{
    uint64_t mixed = *state += 0x9e3779b97f4a7c15;

    mixed = (mixed ^ (mixed >> 30)) * 0xbf58476d1ce4e5b9;
    mixed = (mixed ^ (mixed >> 27)) * 0x94d049bb133111eb;
    return mixed ^ (mixed >> 31);
}

static uint8_t random_below(uint64_t *state, uint32_t limit)
{
    return (uint8_t)(random_next(state) % limit);
}

/* Any order: which target is the k-th most frequent must not follow from its address. */
static void ranks_shuffle(uint64_t *state, uint8_t *targets, uint32_t entries)
{
    for (uint32_t i = 0; i < entries; i++) {
        uint32_t other = random_below(state, i + 1);

        targets[i] = targets[other];
        targets[other] = (uint8_t)i;
    }
}

static void zipf_generate(uint64_t *state, uint32_t entries, uint8_t numbers[DISPATCH_SEQUENCE])
{
    uint8_t targets[DISPATCHER_ENTRY_MAX];
    uint64_t total = ZIPF_UNIT; /* of rank 1: there is an entry */

    ranks_shuffle(state, targets, entries);
    for (uint32_t rank = 2; rank <= entries; rank++) {
        total += ZIPF_UNIT / rank;
    }
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        uint64_t drawn = random_next(state) % total;
        uint32_t rank = 1;

        while (rank < entries && drawn >= ZIPF_UNIT / rank) {
            drawn -= ZIPF_UNIT / rank;
            rank++;
        }
        numbers[i] = targets[rank - 1];
    }
}

static uint8_t number_next(enum dispatch_traffic traffic, uint64_t *state, uint32_t entries,
                           uint32_t position, uint8_t before)
{
    switch (traffic) {
    case DISPATCH_TRAFFIC_FIRST:
        return 0;
    case DISPATCH_TRAFFIC_LAST:
        return (uint8_t)(entries - 1);
    case DISPATCH_TRAFFIC_ROUND_ROBIN:
        return (uint8_t)(position % entries);
    case DISPATCH_TRAFFIC_BURST:
        return random_next(state) % 100 < BURST_PERCENT ? before : random_below(state, entries);
    default:
        return random_below(state, entries);
    }
}

void dispatch_traffic_generate(enum dispatch_traffic traffic, uint32_t entries,
                               uint8_t numbers[DISPATCH_SEQUENCE])
{
    uint64_t state = (uint64_t)traffic << 32 | entries;
    uint8_t number = 0;

    if (traffic == DISPATCH_TRAFFIC_ZIPF && entries != 0) {
        zipf_generate(&state, entries, numbers);
        return;
    }
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        number = entries == 0 || traffic == DISPATCH_TRAFFIC_MISS
                     ? DISPATCH_MISS
                     : number_next(traffic, &state, entries, i, number);
        numbers[i] = number;
    }
}

void dispatch_traffic_hottest(const uint8_t numbers[DISPATCH_SEQUENCE], uint32_t entries,
                              uint8_t hottest[DISPATCHER_ENTRY_MAX])
{
    uint32_t counts[DISPATCHER_ENTRY_MAX + 1] = {0};

    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        counts[numbers[i]]++;
    }
    for (uint32_t i = 0; i < entries; i++) {
        uint32_t at = i;

        while (at > 0 && counts[hottest[at - 1]] < counts[i]) {
            hottest[at] = hottest[at - 1];
            at--;
        }
        hottest[at] = (uint8_t)i;
    }
}
