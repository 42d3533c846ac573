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
    __atomic_store_n(&trial->is_broken, false, __ATOMIC_RELAXED);
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
    /* Acquire; partner: the release in trial_record(): the samples of so many calls are there. */
    uint32_t calls = __atomic_load_n(&trial->count, __ATOMIC_ACQUIRE);

    return calls < TRIAL_SAMPLES ? calls : TRIAL_SAMPLES;
}

bool trial_is_full(const struct trial *trial)
{
    return __atomic_load_n(&trial->count, __ATOMIC_RELAXED) == TRIAL_CALLS;
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

void trial_break(struct trial *trial)
{
    if (__atomic_load_n(&trial->cpu, __ATOMIC_RELAXED) == platform_cpu_index()) {
        __atomic_store_n(&trial->is_broken, true, __ATOMIC_RELAXED);
    }
}

/* The time, and whether there was a break before it. Relaxed: this CPU alone writes the flag. */
static uint64_t time_stamp(struct trial *trial)
{
    uint64_t mark = __atomic_load_n(&trial->is_broken, __ATOMIC_RELAXED) ? TRIAL_BREAK : 0;

    __atomic_store_n(&trial->is_broken, false, __ATOMIC_RELAXED);
    return (platform_time_ticks() & ~TRIAL_BREAK) | mark;
}

/* No locked instruction once the CPU is chosen, and seldom a time stamp: they could hide the
 * mispredictions and compares that are to be measured. Only a thread that is preempted between load
 * and store of the count sets it back, or a later trial's forward. */
void trial_record(struct trial *trial, uint64_t target)
{
    if (!record_is_mine(trial)) {
        return;
    }
    uint32_t call = __atomic_load_n(&trial->count, __ATOMIC_RELAXED);
    struct trial_sample *sample = &trial->samples[call % TRIAL_SAMPLES];

    if (call >= TRIAL_CALLS) {
        return;
    }
    if (call % TRIAL_STRIDE == 0) {
        __atomic_store_n(&sample->ticks, time_stamp(trial), __ATOMIC_RELAXED);
    }
    __atomic_store_n(&sample->target, target, __ATOMIC_RELAXED);
    /* Release; partner: the acquire in trial_stop(). Without it a sample could be read that is not
     * written yet. */
    __atomic_store_n(&trial->count, call + 1, __ATOMIC_RELEASE);
}

#define NO_GAP UINT64_MAX

/* From time stamp @index to the next, at most 32 bits; or NO_GAP. */
static uint64_t gap(const struct trial_sample *samples, uint32_t index)
{
    const struct trial_sample *sample = &samples[index * TRIAL_STRIDE];
    uint64_t before = __atomic_load_n(&sample[0].ticks, __ATOMIC_RELAXED);
    uint64_t after = __atomic_load_n(&sample[TRIAL_STRIDE].ticks, __ATOMIC_RELAXED);

    if ((after & TRIAL_BREAK) != 0) {
        return NO_GAP;
    }
    before &= ~TRIAL_BREAK;
    if (after < before) {
        return NO_GAP;
    }
    return after - before < UINT32_MAX ? after - before : UINT32_MAX;
}

static uint32_t stamp_pairs(uint32_t samples)
{
    return samples != 0 ? (samples - 1) / TRIAL_STRIDE : 0;
}

static uint32_t gaps_below(const struct trial_sample *samples, uint32_t pairs, uint64_t limit)
{
    uint32_t below = 0;

    for (uint32_t i = 0; i < pairs; i++) {
        below += gap(samples, i) < limit;
    }
    return below;
}

/* The upper median, bit by bit: the greatest value with at most half of the gaps below it. So it
 * needs no memory to sort them in. 0 if there is no gap. */
static uint64_t gaps_median(const struct trial_sample *samples, uint32_t pairs)
{
    uint32_t gaps = gaps_below(samples, pairs, NO_GAP);
    uint64_t median = 0;

    for (uint64_t bit = 1ull << 31; bit != 0 && gaps != 0; bit >>= 1) {
        if (gaps_below(samples, pairs, median | bit) <= gaps / 2) {
            median |= bit;
        }
    }
    return median;
}

uint64_t trial_cost(const struct trial_sample *samples, uint32_t count)
{
    uint32_t pairs = stamp_pairs(count);
    uint64_t limit = gaps_median(samples, pairs) * TRIAL_LIMIT_MEDIANS;
    uint64_t sum = 0;
    uint32_t gaps = 0;

    for (uint32_t i = 0; i < pairs; i++) {
        uint64_t ticks = gap(samples, i);

        if (ticks != NO_GAP) {
            sum += ticks < limit ? ticks : limit;
            gaps++;
        }
    }
    return gaps != 0 ? sum * TRIAL_COST_UNIT / (gaps * TRIAL_STRIDE) : 0;
}

/* As many calls as in an epoch: the first ones take the buffer from the CPU that has written it,
 * and cost several times as much. */
uint64_t trial_overhead(struct trial *trial)
{
    trial_start(trial, platform_cpu_index());
    for (unsigned i = 0; i < TRIAL_CALLS; i++) {
        trial_record(trial, 0);
    }
    uint32_t pairs = stamp_pairs(trial_stop(trial));

    return gaps_median(trial->samples, pairs) * TRIAL_COST_UNIT / TRIAL_STRIDE;
}
