// SPDX-License-Identifier: MIT
/* See patch_budget.h: a token bucket. Invariant: never more left than it holds. Called by:
 * dispatcher_auto.c, dynamic_auto.c. */
#include "patching/patch_budget.h"

#define PATCH          1000000000ll    /* 1, in the unit of `left` */
#define REFILL_MAX_NS  100000000000ull /* times PER_SECOND_MAX: fits */
#define PER_SECOND_MAX 1000000u

/* It holds two at least, so that a trial can begin and end. */
static int64_t budget_holds(const struct patch_budget *budget)
{
    return budget->per_second == 1 ? 2 * PATCH : budget->per_second * PATCH;
}

static void budget_refill(struct patch_budget *budget, uint64_t now_ns)
{
    uint64_t passed = now_ns > budget->time_ns ? now_ns - budget->time_ns : 0;

    if (passed > REFILL_MAX_NS) {
        passed = REFILL_MAX_NS;
    }
    budget->left += (int64_t)passed * budget->per_second;
    if (budget->left > budget_holds(budget)) {
        budget->left = budget_holds(budget);
    }
    if (now_ns > budget->time_ns) {
        budget->time_ns = now_ns;
    }
}

void patch_budget_set(struct patch_budget *budget, uint32_t per_second, uint64_t now_ns)
{
    budget->per_second = per_second < PER_SECOND_MAX ? per_second : PER_SECOND_MAX;
    budget->left = budget_holds(budget);
    budget->time_ns = now_ns;
}

uint64_t patch_budget_when(struct patch_budget *budget, uint32_t patches, uint64_t now_ns)
{
    budget_refill(budget, now_ns);
    if (budget->left >= patches * PATCH) {
        return now_ns;
    }
    if (budget->per_second == 0) {
        return UINT64_MAX;
    }
    uint64_t missing = (uint64_t)(patches * PATCH - budget->left);

    return now_ns + (missing + budget->per_second - 1) / budget->per_second;
}

void patch_budget_take(struct patch_budget *budget, uint64_t now_ns)
{
    budget_refill(budget, now_ns);
    budget->left -= PATCH;
}
