// SPDX-License-Identifier: MIT
/* Time stamps of calls on live traffic, for whoever chooses between ways to make a call.
 *
 * While a trial runs, each call goes through a sampler, which notes the target, and at every
 * TRIAL_STRIDEth call the time, and then makes the call the way that is being tried. What a way
 * costs shows in the gaps between time stamps on the same CPU: everything else a caller does
 * between them is the same for all ways, and a misprediction is in the gap wherever its price is
 * paid. Reading the time at each call would cost more than most ways differ by (some 50 cycles),
 * and hide the compares that a processor does meanwhile.
 *
 * That holds while calls come one after the other. A caller that waits in between (for packets)
 * says so by trial_break(), and the gap is none: else the traffic would be measured, not the call.
 *
 * Of up to TRIAL_CALLS calls the last TRIAL_SAMPLES are kept: before, the processor learns the way,
 * and fetches the buffer.
 *
 * Invariant: one CPU records at a time, the first that comes; the buffer never overflows; nobody
 * waits. A thread that is preempted inside trial_record(), between two instructions, may spoil one
 * later trial with samples of an older one: noise, not harm. Callers: dispatcher_auto.c, the
 * samplers that DEFINE_XDP_CALL makes. */
#pragma once

#include "patching/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TRIAL_SAMPLES = 1024, TRIAL_STRIDE = 16, TRIAL_CALLS = 8 * TRIAL_SAMPLES };
enum { TRIAL_CACHE_LINE = 64 };

#define TRIAL_NO_CPU  UINT32_MAX       /* nobody records */
#define TRIAL_ANY_CPU (UINT32_MAX - 1) /* whoever calls first */

/* In a time stamp: the caller waited between the one before and this. */
#define TRIAL_BREAK (1ull << 63)

struct trial_sample {
    uint64_t
        ticks; /* of each TRIAL_STRIDEth sample, from 0 on: time, TRIAL_BREAK if there was one */
    uint64_t target;
};

/* All atomic, relaxed where not said otherwise: */
struct trial {
    uint32_t cpu; /* that records; read by each call on any CPU, so apart from what is written */
    _Alignas(TRIAL_CACHE_LINE) uint32_t count; /* of calls; released by the recording CPU */
    bool is_broken;                            /* since the last time stamp; by the recording CPU */
    struct trial_sample samples[TRIAL_SAMPLES]; /* ring */
};

/* Forgets all samples and lets @cpu record, or TRIAL_ANY_CPU. Context: one thread at a time, nobody
 * records. */
void trial_start(struct trial *trial, uint32_t cpu);

/* Nobody records any more, but for a call on its way. Returns the number of samples, the last ones;
 * they are valid until the next start. Ordering: acquire; partner: the release of count in
 * trial_record(). */
uint32_t trial_stop(struct trial *trial);

/* All TRIAL_CALLS were made. */
bool trial_is_full(const struct trial *trial);

/* The CPU that records or recorded; TRIAL_ANY_CPU, TRIAL_NO_CPU: none has. */
uint32_t trial_cpu(const struct trial *trial);

/* From the sampler: notes a call of @target, if this is the CPU and the trial is not full. Context:
 * that of the call. */
void trial_record(struct trial *trial, uint64_t target);

/* From a caller that has waited, or is about to, for what it calls with. Context: that of the
 * calls.
 */
void trial_break(struct trial *trial);

/* What a call cost: the mean of all gaps between time stamps, each cut down to TRIAL_LIMIT_MEDIANS
 * times their median, divided by TRIAL_STRIDE.
 *
 * A mean, since hits and mispredictions make two heaps of calls, 10 to 25 ns apart, and their
 * shares are what differs between ways to make a call. A gap of TRIAL_STRIDE calls has some of
 * both, so it is seldom beyond two medians. An interrupt, an idle pause, another thread is more:
 * each then counts as TRIAL_LIMIT_MEDIANS gaps, 1.6 % more for each of them in a full buffer. Where
 * time goes back, at the ring's seam or by a strange clock, and where there was a break, is no gap.
 *
 * In 1/TRIAL_COST_UNIT ticks; 0 if there is no gap, or if time stood still. Pure; no memory but
 * @samples; their time stamps are gone through some 30 times. */
enum { TRIAL_LIMIT_MEDIANS = 2 };
#define TRIAL_COST_UNIT 256u
uint64_t trial_cost(const struct trial_sample *samples, uint32_t count);

/* What the recorder itself takes from one call to the next, the part that all costs have in common,
 * called by nobody but itself: a little less than among other calls. In the same unit. Uses @trial,
 * in which nobody records. Context: thread, stays on its CPU. */
uint64_t trial_overhead(struct trial *trial);
