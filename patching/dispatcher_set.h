// SPDX-License-Identifier: MIT
/* The targets that a dispatcher knows: counted, ascending as signed numbers, and ranked by how
 * often they are called. Pure. Invariant: each entry has a reference; `hottest` is a permutation of
 * the entries' numbers. Used by: dispatcher.c. */
#pragma once

#include "patching/dispatcher_image.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatcher_entry {
    uint64_t target;
    uint32_t references; /* 1 at least */
};

struct dispatcher_set {
    uint32_t count;
    struct dispatcher_entry entries[DISPATCHER_ENTRY_MAX]; /* by target, signed */
    uint8_t hottest[DISPATCHER_ENTRY_MAX];                 /* numbers of entries, hottest first */
};

/* Number of the entry of @target; @set->count if there is none. */
uint32_t dispatcher_set_find(const struct dispatcher_set *set, uint64_t target);

/* One more reference to @target, which becomes an entry, the coldest, if it is none.
 * Returns PATCH_ERR_NO_SLOT if there is no room. */
PATCH_MUST_CHECK enum patch_status dispatcher_set_add(struct dispatcher_set *set, uint64_t target);

/* One reference less; with the last one the entry goes. Returns PATCH_ERR_NO_ENTRY if there is
 * none.
 */
PATCH_MUST_CHECK enum patch_status dispatcher_set_remove(struct dispatcher_set *set,
                                                         uint64_t target);

/* True if both have the same targets. */
bool dispatcher_set_equal(const struct dispatcher_set *a, const struct dispatcher_set *b);

/* Ranks the @count @targets first, in this order, the others behind them in the order they have.
 * Those that are no entries, or stand there twice, are passed over. */
void dispatcher_set_rank(struct dispatcher_set *set, const uint64_t *targets, uint32_t count);
