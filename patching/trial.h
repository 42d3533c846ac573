// SPDX-License-Identifier: MIT
/* Time stamps of calls on live traffic, for whoever chooses between ways to make a call.
 *
 * While a trial runs, each call goes through a sampler, which notes the time and the target and
 * then makes the call the way that is being tried. What a way costs shows in the gaps between one
 * call and the next on the same CPU: everything else a caller does between them is the same for all
 * ways, and a misprediction is in the gap wherever its price is paid.
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

enum { TRIAL_SAMPLES = 1024 };

#define TRIAL_NO_CPU  UINT32_MAX       /* nobody records */
#define TRIAL_ANY_CPU (UINT32_MAX - 1) /* whoever calls first */

struct trial_sample {
    uint64_t ticks; /* platform_time_ticks() */
    uint64_t target;
};

/* All atomic, relaxed where not said otherwise: */
struct trial {
    uint32_t cpu;   /* that records */
    uint32_t count; /* of samples; released by the recording CPU */
    struct trial_sample samples[TRIAL_SAMPLES];
};

/* Forgets all samples and lets @cpu record, or TRIAL_ANY_CPU. Context: one thread at a time, nobody
 * records. */
void trial_start(struct trial *trial, uint32_t cpu);

/* Nobody records any more, but for a call on its way. Returns the number of samples; they are valid
 * until the next start. Ordering: acquire; partner: the release of count in trial_record(). */
uint32_t trial_stop(struct trial *trial);

bool trial_is_full(const struct trial *trial);

/* The CPU that records or recorded; TRIAL_ANY_CPU, TRIAL_NO_CPU: none has. */
uint32_t trial_cpu(const struct trial *trial);

/* From the sampler: notes a call of @target, if this is the CPU and there is room. Context: that of
 * the call. */
void trial_record(struct trial *trial, uint64_t target);

/* What a call cost: the mean of all gaps, each cut down to TRIAL_LIMIT_MEDIANS times their median.
 *
 * A mean, since hits and mispredictions make two heaps of gaps, 10 to 25 ns apart, and their shares
 * are what differs between ways to make a call: a median would see one heap alone. Both are within
 * a few medians: a median is not below what the sampler itself takes, which is the price of a
 * misprediction or two. An interrupt, an idle pause, another thread is tens of medians and more:
 * each then counts as TRIAL_LIMIT_MEDIANS calls, 0.7 % of a full buffer. Time that goes back counts
 * as a gap of 0.
 *
 * In 1/TRIAL_COST_UNIT ticks; 0 if there are fewer than two samples, or if time stood still. Pure;
 * no memory but @samples, which are gone through some 30 times. */
enum { TRIAL_LIMIT_MEDIANS = 8 };
#define TRIAL_COST_UNIT 256u
uint64_t trial_cost(const struct trial_sample *samples, uint32_t count);

/* What the recorder itself takes from one call to the next, the part that all costs have in common;
 * in the same unit. Uses @trial, in which nobody records. Context: thread, stays on its CPU. */
uint64_t trial_overhead(struct trial *trial);
