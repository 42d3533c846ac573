// SPDX-License-Identifier: MIT
/* Traffic for benches of dispatchers: which target each call of a sequence has. Invariant: the same
 * kind and number of entries give the same sequence, on every machine; all but misses name only
 * targets that are in the dispatcher. Pure. Callers: bench_dispatch.c, tests/silicon, tests/host.
 */
#pragma once

#include "patching/dispatcher_image.h"

#include <stdbool.h>
#include <stdint.h>

enum dispatch_traffic {
    DISPATCH_TRAFFIC_FIRST,       /* always the lowest address */
    DISPATCH_TRAFFIC_LAST,        /* always the highest */
    DISPATCH_TRAFFIC_ROUND_ROBIN, /* in turn, by address */
    DISPATCH_TRAFFIC_BURST,       /* the same as before, in 95 of 100 calls; else any */
    DISPATCH_TRAFFIC_ZIPF,        /* the k-th most frequent in proportion to 1/k */
    DISPATCH_TRAFFIC_RANDOM,      /* any, all equally often */
    DISPATCH_TRAFFIC_MISS,        /* always one that is not in the dispatcher */
    DISPATCH_TRAFFIC_COUNT
};

/* Calls, after which it begins again: more than a branch predictor learns by heart. 4096 are not: a
 * Sapphire Rapids that meets them again and again finds random ones of 64 targets in half the time.
 * Too many for a stack. */
#define DISPATCH_SEQUENCE 65536u

/* The number that stands for the target of a miss. */
#define DISPATCH_MISS DISPATCHER_ENTRY_MAX

/* Writes the sequence for a dispatcher with @entries targets, numbered by address from 0. With no
 * entry, whatever the traffic, every call is a miss. Context: any. */
void dispatch_traffic_generate(enum dispatch_traffic traffic, uint32_t entries,
                               uint8_t numbers[DISPATCH_SEQUENCE]);

/* Writes the numbers 0 to @entries - 1 to @hottest, those that the sequence has most often first;
 * those that it has equally often by address. Context: any. */
void dispatch_traffic_hottest(const uint8_t numbers[DISPATCH_SEQUENCE], uint32_t entries,
                              uint8_t hottest[DISPATCHER_ENTRY_MAX]);

/* Whether every call has the same target. */
bool dispatch_traffic_is_constant(enum dispatch_traffic traffic, uint32_t entries);

const char *dispatch_traffic_name(enum dispatch_traffic traffic);
