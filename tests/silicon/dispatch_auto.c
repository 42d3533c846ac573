// SPDX-License-Identifier: MIT
/* See dispatch_auto.h. */
#include "tests/silicon/dispatch_auto.h"

#include "bench/bench_dispatch_loops.h"
#include "patching/dispatcher_auto.h"
#include "patching/platform.h"
#include "tests/host/live.h"
#include "tests/silicon/machine.h"

#include <pthread.h>
#include <unistd.h>

enum {
    CALLER_CPU = 1,
    CALLS = 256, /* between two looks at whether to stop */
    BUDGET = 1000000,
    SLEEP_MOST_US = 1000,
    NS_PER_US = 1000,
};

#define PATIENCE_NS 10000000000ull

static unsigned stop; /* atomic */

static void *call_all_the_time(void *argument)
{
    (void)argument;
    machine_pin_executor();
    live_enter_cpu(CALLER_CPU);
    /* Relaxed: nothing but the end is learned from it. */
    while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
        dispatch_loop_dispatched(CALLS);
        live_checkpoint();
    }
    live_leave_cpu();
    return NULL;
}

static uint64_t now_ns(void)
{
    return platform_ticks_to_ns(platform_time_ticks());
}

/* A decision behind number @before was made, and carried out. */
static bool is_decided(uint64_t before)
{
    struct dispatcher_decision decision;
    struct dispatcher_view view;

    if (!dispatcher_auto_decision(&dispatcher_bench, before + 1, &decision)) {
        return false;
    }
    dispatcher_look(&dispatcher_bench, &view);
    return view.shape == decision.after && !view.is_sampled;
}

static bool await_decision(uint64_t before)
{
    uint64_t end_ns = now_ns() + PATIENCE_NS;

    while (!is_decided(before)) {
        uint64_t start_ns = now_ns();
        uint64_t next_ns = dispatcher_auto_step(&dispatcher_bench, start_ns);
        uint64_t sleep_us = next_ns > start_ns ? (next_ns - start_ns) / NS_PER_US : 0;

        if (start_ns > end_ns) {
            return false;
        }
        usleep(sleep_us < SLEEP_MOST_US ? (useconds_t)sleep_us : SLEEP_MOST_US);
    }
    return true;
}

bool dispatch_auto_choose(void)
{
    uint64_t before = dispatcher_auto_decided(&dispatcher_bench);
    pthread_t caller;

    stop = 0;
    if (pthread_create(&caller, NULL, call_all_the_time, NULL) != 0) {
        platform_fatal("no thread could be started", NULL, 0, 0);
    }
    dispatcher_auto_set_budget(BUDGET);

    bool is_chosen =
        dispatcher_auto_set(&dispatcher_bench, true, NULL) == PATCH_OK && await_decision(before);

    if (dispatcher_auto_set(&dispatcher_bench, false, NULL) != PATCH_OK) {
        is_chosen = false;
    }
    dispatcher_auto_set_budget(DISPATCHER_BUDGET_DEFAULT);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    pthread_join(caller, NULL);
    return is_chosen;
}
