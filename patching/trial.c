// SPDX-License-Identifier: MIT
/* Samples of calls, and what the calls cost; see trial.h. Invariant: no index beyond the buffer,
 * whatever preempts whom; a CPU that is not the one that records writes nothing. Called by:
 * samplers, dispatcher_auto.c. */
#include "patching/trial.h"

/* In trial.cpu, on top of the number of the CPU that has recorded: it does not any more. In
 * TRIAL_NO_CPU and TRIAL_ANY_CPU it is set as well. */
#define STOPPED (1u << 31)
_Static_assert(PATCH_CPU_MAX < STOPPED, "a CPU that may record has no such bit");
_Static_assert((TRIAL_NO_CPU & TRIAL_ANY_CPU & STOPPED) != 0, "neither is a CPU");

void trial_start(struct trial *trial, uint32_t cpu)
{
    __atomic_store_n(&trial->count, 0, __ATOMIC_RELAXED);
    /* Release; partner: the acquire in trial_record(). Without it the CPU that is let in could find
     * the old count, a full buffer. */
    __atomic_store_n(&trial->cpu, cpu, __ATOMIC_RELEASE);
}

uint32_t trial_stop(struct trial *trial)
{
    uint32_t cpu = __atomic_exchange_n(&trial->cpu, TRIAL_NO_CPU, __ATOMIC_RELAXED);

    if (cpu < STOPPED) {
        __atomic_store_n(&trial->cpu, cpu | STOPPED, __ATOMIC_RELAXED);
    }
    /* Acquire; partner: the release in trial_record(): that many samples are there. */
    return __atomic_load_n(&trial->count, __ATOMIC_ACQUIRE);
}

bool trial_is_full(const struct trial *trial)
{
    return __atomic_load_n(&trial->count, __ATOMIC_RELAXED) == TRIAL_SAMPLES;
}

uint32_t trial_cpu(const struct trial *trial)
{
    uint32_t cpu = __atomic_load_n(&trial->cpu, __ATOMIC_RELAXED);

    return cpu == TRIAL_NO_CPU || cpu == TRIAL_ANY_CPU ? cpu : cpu & ~STOPPED;
}

/* Whether this CPU is the one that records; claims that for it if nobody has. */
static bool record_is_mine(struct trial *trial)
{
    uint32_t mine = platform_cpu_index();
    /* Acquire, both: pair with the release in trial_start(). */
    uint32_t cpu = __atomic_load_n(&trial->cpu, __ATOMIC_ACQUIRE);

    if (cpu != TRIAL_ANY_CPU) {
        return cpu == mine;
    }
    return __atomic_compare_exchange_n(&trial->cpu, &cpu, mine, false, __ATOMIC_ACQUIRE,
                                       __ATOMIC_ACQUIRE) ||
           cpu == mine;
}

/* No locked instruction once the CPU is chosen: it could hide the mispredictions that are to be
 * measured. The time comes first: between load and store of the count are a few instructions, and
 * only a thread that is preempted right there sets the count back, or a later trial's forward. */
void trial_record(struct trial *trial, uint64_t target)
{
    if (!record_is_mine(trial)) {
        return;
    }
    uint64_t ticks = platform_time_ticks();
    uint32_t index = __atomic_load_n(&trial->count, __ATOMIC_RELAXED);

    if (index >= TRIAL_SAMPLES) {
        return;
    }
    __atomic_store_n(&trial->samples[index].ticks, ticks, __ATOMIC_RELAXED);
    __atomic_store_n(&trial->samples[index].target, target, __ATOMIC_RELAXED);
    /* Release; partner: the acquire in trial_stop(). Without it a sample could be read that is not
     * written yet. */
    __atomic_store_n(&trial->count, index + 1, __ATOMIC_RELEASE);
}

/* From sample @index to the next; 0 if time went back, at most 32 bits. */
static uint64_t gap(const struct trial_sample *samples, uint32_t index)
{
    uint64_t before = __atomic_load_n(&samples[index].ticks, __ATOMIC_RELAXED);
    uint64_t after = __atomic_load_n(&samples[index + 1].ticks, __ATOMIC_RELAXED);
    uint64_t ticks = after > before ? after - before : 0;

    return ticks < UINT32_MAX ? ticks : UINT32_MAX;
}

static uint32_t gaps_below(const struct trial_sample *samples, uint32_t gaps, uint64_t limit)
{
    uint32_t below = 0;

    for (uint32_t i = 0; i < gaps; i++) {
        below += gap(samples, i) < limit;
    }
    return below;
}

/* The upper median, bit by bit: the greatest value with at most half of the gaps below it. So it
 * needs no memory to sort them in. */
static uint64_t gaps_median(const struct trial_sample *samples, uint32_t gaps)
{
    uint64_t median = 0;

    for (uint64_t bit = 1ull << 31; bit != 0; bit >>= 1) {
        if (gaps_below(samples, gaps, median | bit) <= gaps / 2) {
            median |= bit;
        }
    }
    return median;
}

uint64_t trial_cost(const struct trial_sample *samples, uint32_t count)
{
    if (count < 2) {
        return 0;
    }
    uint32_t gaps = count - 1;
    uint64_t limit = gaps_median(samples, gaps) * TRIAL_LIMIT_MEDIANS;
    uint64_t sum = 0;

    for (uint32_t i = 0; i < gaps; i++) {
        uint64_t ticks = gap(samples, i);

        sum += ticks < limit ? ticks : limit;
    }
    return sum * TRIAL_COST_UNIT / gaps;
}

uint64_t trial_overhead(struct trial *trial)
{
    enum { TIMES = 64 };

    trial_start(trial, platform_cpu_index());
    for (unsigned i = 0; i < TIMES; i++) {
        trial_record(trial, 0);
    }
    uint32_t count = trial_stop(trial);

    return count < 2 ? 0 : gaps_median(trial->samples, count - 1) * TRIAL_COST_UNIT;
}
