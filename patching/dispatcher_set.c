// SPDX-License-Identifier: MIT
/* Sorted array and ranks; see dispatcher_set.h. Invariant: what is found by signed order here is
 * what the compares of an image find. */
#include "patching/dispatcher_set.h"

/* Number of the first entry that is not below @target. */
static uint32_t place_of(const struct dispatcher_set *set, uint64_t target)
{
    uint32_t place = 0;

    while (place < set->count && (int64_t)set->entries[place].target < (int64_t)target) {
        place++;
    }
    return place;
}

uint32_t dispatcher_set_find(const struct dispatcher_set *set, uint64_t target)
{
    uint32_t place = place_of(set, target);

    return place < set->count && set->entries[place].target == target ? place : set->count;
}

/* The ranks follow entries that have moved up to make room for one at @place, the coldest. */
static void ranks_insert(struct dispatcher_set *set, uint32_t place)
{
    for (uint32_t rank = 0; rank < set->count; rank++) {
        if (set->hottest[rank] >= place) {
            set->hottest[rank]++;
        }
    }
    set->hottest[set->count] = (uint8_t)place;
}

static void ranks_remove(struct dispatcher_set *set, uint32_t place)
{
    uint32_t kept = 0;

    for (uint32_t rank = 0; rank < set->count; rank++) {
        uint8_t number = set->hottest[rank];

        if (number != place) {
            set->hottest[kept++] = number > place ? number - 1 : number;
        }
    }
}

enum patch_status dispatcher_set_add(struct dispatcher_set *set, uint64_t target)
{
    uint32_t place = place_of(set, target);

    if (place < set->count && set->entries[place].target == target) {
        set->entries[place].references++;
        return PATCH_OK;
    }
    if (set->count == DISPATCHER_ENTRY_MAX) {
        return PATCH_ERR_NO_SLOT;
    }
    for (uint32_t i = set->count; i > place; i--) {
        set->entries[i] = set->entries[i - 1];
    }
    set->entries[place] = (struct dispatcher_entry){.target = target, .references = 1};
    ranks_insert(set, place);
    set->count++;
    return PATCH_OK;
}

enum patch_status dispatcher_set_remove(struct dispatcher_set *set, uint64_t target)
{
    uint32_t place = dispatcher_set_find(set, target);

    if (place == set->count) {
        return PATCH_ERR_NO_ENTRY;
    }
    if (--set->entries[place].references == 0) {
        ranks_remove(set, place);
        set->count--;
        for (uint32_t i = place; i < set->count; i++) {
            set->entries[i] = set->entries[i + 1];
        }
    }
    return PATCH_OK;
}

bool dispatcher_set_equal(const struct dispatcher_set *a, const struct dispatcher_set *b)
{
    for (uint32_t i = 0; i < a->count && i < b->count; i++) {
        if (a->entries[i].target != b->entries[i].target) {
            return false;
        }
    }
    return a->count == b->count;
}

/* Moves number @number to rank @rank, the ones between one down. */
static void rank_move(struct dispatcher_set *set, uint32_t number, uint32_t rank)
{
    uint32_t from = rank;

    while (set->hottest[from] != number) {
        from++;
    }
    for (; from > rank; from--) {
        set->hottest[from] = set->hottest[from - 1];
    }
    set->hottest[rank] = (uint8_t)number;
}

static bool is_ranked_above(const struct dispatcher_set *set, uint32_t number, uint32_t rank)
{
    for (uint32_t i = 0; i < rank; i++) {
        if (set->hottest[i] == number) {
            return true;
        }
    }
    return false;
}

void dispatcher_set_rank(struct dispatcher_set *set, const uint64_t *targets, uint32_t count)
{
    uint32_t ranked = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = dispatcher_set_find(set, targets[i]);

        if (number < set->count && !is_ranked_above(set, number, ranked)) {
            rank_move(set, number, ranked++);
        }
    }
}
