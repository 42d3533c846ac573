// SPDX-License-Identifier: MIT
/* What a call saves that goes through a slot; see dynamic_saving_estimate() in dynamic_auto.h.
 * Invariant: both loops do the same but for the call itself, so that the rest drops out of the
 * difference. Called by: dynamic_auto.c, tests. */
#include "patching/dynamic_auto.h"
#include "patching/platform.h"
#include "patching/trial.h"

enum { CALLS = 64, ROUNDS = 8 };

__attribute__((noinline)) static void nothing(void)
{
    __asm__ volatile("");
}

/* So that the compiler does not know whom it calls, nor that it is the same each time. */
static void (*hidden(void (*target)(void)))(void)
{
    __asm__ volatile("" : "+r"(target));
    return target;
}

/* As dynamic_call() with a closed gate: through the thunk, if this is compiled with thunks. */
__attribute__((noinline)) static uint64_t time_slow_way(void)
{
    uint64_t start = platform_time_ticks();

    for (unsigned i = 0; i < CALLS; i++) {
        hidden(nothing)();
    }
    return platform_time_ticks() - start;
}

/* As with an open one: a comparison with a value in the text, and a direct call. */
__attribute__((noinline)) static uint64_t time_slot(void)
{
    uint64_t start = platform_time_ticks();

    for (unsigned i = 0; i < CALLS; i++) {
        void (*target)(void) = hidden(nothing);

        if (target == nothing) {
            nothing();
        } else {
            target();
        }
    }
    return platform_time_ticks() - start;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The cheapest of some rounds: in the others there was an interrupt, or code that was not there. */
uint64_t dynamic_saving_estimate(void)
{
    uint64_t slow_way = UINT64_MAX;
    uint64_t slot = UINT64_MAX;

    for (unsigned i = 0; i < ROUNDS; i++) {
        slow_way = least(slow_way, time_slow_way());
        slot = least(slot, time_slot());
    }
    uint64_t saved = slow_way > slot ? (slow_way - slot) * TRIAL_COST_UNIT / CALLS : 0;

    return saved != 0 ? saved : 1;
}
