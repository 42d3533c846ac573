// SPDX-License-Identifier: MIT
/* Whom dynamic calls call in a bench: the sequences of targets that are measured. Invariant: as
 * those of bench_dispatch_traffic.h, which makes most of them: the same on every machine. Pure.
 * Callers: bench_dyncall*.c, tests/silicon. */
#pragma once

#include "bench/bench_dispatch_traffic.h"

#include <stdint.h>

enum dyncall_sequence {
    DYNCALL_CONSTANT,
    DYNCALL_BURST_8, /* the same as before, in 95 of 100 calls; else any of 8 */
    DYNCALL_ROUND_ROBIN_2,
    DYNCALL_ROUND_ROBIN_4,
    DYNCALL_ROUND_ROBIN_8,
    DYNCALL_ZIPF_8, /* the k-th most frequent in proportion to 1/k */
    DYNCALL_ZIPF_64,
    DYNCALL_RANDOM_4,
    DYNCALL_RANDOM_8,
    DYNCALL_RANDOM_64,
    DYNCALL_PHASE_256, /* 256 calls of one of 4 targets, then as many of the next */
    DYNCALL_PHASE_4096,
    DYNCALL_SEQUENCES
};

/* The most targets that a sequence has. */
#define DYNCALL_TARGETS_MAX DISPATCHER_ENTRY_MAX

/* Targets, numbered from 0. */
uint32_t dyncall_sequence_targets(enum dyncall_sequence sequence);

/* Writes the sequence. Context: any. */
void dyncall_sequence_generate(enum dyncall_sequence sequence, uint8_t numbers[DISPATCH_SEQUENCE]);

const char *dyncall_sequence_name(enum dyncall_sequence sequence);
