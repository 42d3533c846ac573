// SPDX-License-Identifier: MIT
/* A budget of patches: so many a second, and a second's worth (2 at least) at once. Pure.
 * Invariant: of those who ask and take what is there, all together take at most T times as many in
 * T seconds, and a second's worth. Callers: dispatcher_auto.c, dynamic_auto.c, tests. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct patch_budget {
    uint32_t per_second; /* 0: none, ever */
    int64_t left;        /* in 1e-9 patches; less than 0: taken without asking */
    uint64_t time_ns;    /* up to when `left` is worked out */
};

/* A full budget. */
void patch_budget_set(struct patch_budget *budget, uint32_t per_second, uint64_t now_ns);

/* Returns when @patches (2 at most) are there: @now_ns or before if they are; UINT64_MAX: never. */
uint64_t patch_budget_when(struct patch_budget *budget, uint32_t patches, uint64_t now_ns);

/* Takes one patch, whether it is there or not. */
void patch_budget_take(struct patch_budget *budget, uint64_t now_ns);
