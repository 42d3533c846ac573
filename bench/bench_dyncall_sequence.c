// SPDX-License-Identifier: MIT
/* The sequences of bench_dyncall_sequence.h. Invariant: whole phases fit into the length. */
#include "bench/bench_dyncall_sequence.h"

static const struct {
    const char *name;
    uint32_t targets;
    uint32_t phase; /* calls of a phase; 0: no phases, but this traffic: */
    enum dispatch_traffic traffic;
} sequences[DYNCALL_SEQUENCES] = {
    [DYNCALL_CONSTANT] = {"constant", 1, 0, DISPATCH_TRAFFIC_FIRST},
    [DYNCALL_BURST_8] = {"burst-8", 8, 0, DISPATCH_TRAFFIC_BURST},
    [DYNCALL_ROUND_ROBIN_2] = {"round-robin-2", 2, 0, DISPATCH_TRAFFIC_ROUND_ROBIN},
    [DYNCALL_ROUND_ROBIN_4] = {"round-robin-4", 4, 0, DISPATCH_TRAFFIC_ROUND_ROBIN},
    [DYNCALL_ROUND_ROBIN_8] = {"round-robin-8", 8, 0, DISPATCH_TRAFFIC_ROUND_ROBIN},
    [DYNCALL_ZIPF_8] = {"zipf-8", 8, 0, DISPATCH_TRAFFIC_ZIPF},
    [DYNCALL_ZIPF_64] = {"zipf-64", 64, 0, DISPATCH_TRAFFIC_ZIPF},
    [DYNCALL_RANDOM_4] = {"random-4", 4, 0, DISPATCH_TRAFFIC_RANDOM},
    [DYNCALL_RANDOM_8] = {"random-8", 8, 0, DISPATCH_TRAFFIC_RANDOM},
    [DYNCALL_RANDOM_64] = {"random-64", 64, 0, DISPATCH_TRAFFIC_RANDOM},
    [DYNCALL_PHASE_256] = {"phase-256", 4, 256, 0},
    [DYNCALL_PHASE_4096] = {"phase-4096", 4, 4096, 0},
};
_Static_assert(DISPATCH_SEQUENCE % (4 * 4096) == 0, "phases");

uint32_t dyncall_sequence_targets(enum dyncall_sequence sequence)
{
    return sequences[sequence].targets;
}

void dyncall_sequence_generate(enum dyncall_sequence sequence, uint8_t numbers[DISPATCH_SEQUENCE])
{
    uint32_t phase = sequences[sequence].phase, targets = sequences[sequence].targets;

    if (phase == 0) {
        dispatch_traffic_generate(sequences[sequence].traffic, targets, numbers);
        return;
    }
    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        numbers[i] = (uint8_t)(i / phase % targets);
    }
}

const char *dyncall_sequence_name(enum dyncall_sequence sequence)
{
    return sequence < DYNCALL_SEQUENCES ? sequences[sequence].name : "?";
}
