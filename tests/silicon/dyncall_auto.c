// SPDX-License-Identifier: MIT
/* See dyncall_auto.h. */
#include "tests/silicon/dyncall_auto.h"

#include "patching/dynamic_auto.h"
#include "patching/platform.h"
#include "tests/host/live.h"

enum {
    BLOCK = 1024, /* calls between two steps */
    BUDGET = 1000000,
};

#define PATIENCE_NS 10000000000ull

void dyncall_auto_initialize(void)
{
    static struct dynamic_count counts[DYNCALL_SIZES][LIVE_CPU_MAX];

    for (unsigned i = 0; i < DYNCALL_SIZES; i++) {
        dynamic_call_give_memory(dyncall_sizes[i].call, counts[i], LIVE_CPU_MAX);
    }
}

static uint64_t now_ns(void)
{
    return platform_ticks_to_ns(platform_time_ticks());
}

static bool is_settled(struct dynamic_call *call)
{
    struct dynamic_auto_view view;

    dynamic_auto_look(call, &view);
    return view.state == DYNAMIC_STABLE || view.state == DYNAMIC_RESTING;
}

static bool await_settled(const struct dyncall_size *size)
{
    uint64_t end_ns = now_ns() + PATIENCE_NS;

    while (!is_settled(size->call)) {
        if (now_ns() > end_ns) {
            return false;
        }
        (void)dynamic_auto_step(size->call, now_ns());
        size->loop(BLOCK);
    }
    return true;
}

bool dyncall_auto_choose(const struct dyncall_size *size, struct dynamic_call_form *form)
{
    struct dynamic_call_view view;

    dynamic_auto_set_budget(BUDGET);

    bool is_chosen =
        dynamic_auto_set(size->call, true, now_ns(), NULL) == PATCH_OK && await_settled(size);

    dynamic_call_look(size->call, &view);
    *form = view.form;
    if (dynamic_auto_set(size->call, false, now_ns(), NULL) != PATCH_OK) {
        is_chosen = false;
    }
    dynamic_auto_set_budget(DYNAMIC_BUDGET_DEFAULT);
    return is_chosen;
}
