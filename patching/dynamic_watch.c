// SPDX-License-Identifier: MIT
/* The watched side of dynamic calls: what runs beside a call while it learns or is timed.
 * Invariant: it changes nothing but counts and samples; whatever it answers, the call reaches its
 * function. Called by: dynamic_call(), at the places where gate or watch key send it. */
#include "patching/dynamic_call.h"

#include "patching/platform.h"

struct trial dynamic_trial = {.cpu = TRIAL_NO_CPU};

/* Relaxed: flags and counts stand for themselves, but for the tables' address. */
static void count(struct dynamic_call *call, uint64_t target)
{
    /* Acquire; partner: the release in dynamic_call_give_memory(). Without it the old number of
     * tables, 0, is all that could be seen with the new ones: a lost count. */
    struct dynamic_count *counts = __atomic_load_n(&call->counts, __ATOMIC_ACQUIRE);
    unsigned cpu = platform_cpu_index();

    if (counts != NULL && cpu < call->count_cpus && target != 0 &&
        __atomic_load_n(&call->is_counting, __ATOMIC_RELAXED)) {
        dynamic_count_call(&counts[cpu], target);
    }
}

bool dynamic_call_closed(struct dynamic_call *call, uint64_t target)
{
    if (__atomic_load_n(&call->is_timed, __ATOMIC_RELAXED)) {
        trial_record(&dynamic_trial, target);
    } else {
        count(call, target);
    }
    return __atomic_load_n(&call->goes_through, __ATOMIC_RELAXED);
}

void dynamic_call_missed(struct dynamic_call *call, uint64_t target)
{
    count(call, target);
}

/* Relaxed: who sees an old flag counts or stops by once more. */
static void flag_set(struct dynamic_call *call, bool *flag, bool value)
{
    __atomic_store_n(flag, value, __ATOMIC_RELAXED);
    __atomic_store_n(&call->is_attended, call->is_counting || call->is_timed || call->goes_through,
                     __ATOMIC_RELAXED);
}

void dynamic_watch_set_counting(struct dynamic_call *call, bool is_counting)
{
    flag_set(call, &call->is_counting, is_counting);
}

/* A miss that is counted in a trial would be timed, and the slow way has nothing like it. */
void dynamic_watch_set_timed(struct dynamic_call *call, bool is_timed)
{
    if (is_timed) {
        dynamic_watch_set_counting(call, false);
    }
    flag_set(call, &call->is_timed, is_timed);
}

void dynamic_watch_set_through(struct dynamic_call *call, bool goes_through)
{
    flag_set(call, &call->goes_through, goes_through);
}

uint64_t dynamic_call_count_null(struct dynamic_call *call)
{
    __atomic_fetch_add(&call->nulls, 1, __ATOMIC_RELAXED);
    return 0;
}

void dynamic_call_waits(struct dynamic_call *call)
{
    if (__atomic_load_n(&call->is_timed, __ATOMIC_RELAXED)) {
        trial_break(&dynamic_trial);
    }
}

void dynamic_call_give_memory(struct dynamic_call *call, struct dynamic_count *counts,
                              uint32_t cpus)
{
    dynamic_count_clear(counts, cpus);
    call->count_cpus = cpus;
    __atomic_store_n(&call->counts, counts, __ATOMIC_RELEASE);
}

/* Relaxed, both: a bit says no more than who has it. */
unsigned dynamic_instance_take(uint32_t *taken)
{
    uint32_t bits = __atomic_load_n(taken, __ATOMIC_RELAXED);

    for (;;) {
        unsigned free = (unsigned)__builtin_ctz(~bits);

        if (free >= DYNAMIC_INSTANCES) {
            return DYNAMIC_INSTANCE_NONE;
        }
        if (__atomic_compare_exchange_n(taken, &bits, bits | 1u << free, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return free;
        }
    }
}

void dynamic_instance_release(uint32_t *taken, unsigned instance)
{
    if (instance < DYNAMIC_INSTANCES) {
        __atomic_fetch_and(taken, ~(1u << instance), __ATOMIC_RELAXED);
    }
}
