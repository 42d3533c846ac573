// SPDX-License-Identifier: MIT
/* Times of calls in blocks: a loop of so many calls between two looks at the clock, many blocks of
 * each way to call, all ways in turn. Invariant: what the loop takes without a call is subtracted,
 * so figures may be negative where there is little to measure. Callers: bench_call_measure.c,
 * bench_ways.c, and those who print what they measured. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shell_session;
struct table;

typedef void bench_loop(uint64_t calls);

/* Runs @loop once, interrupts off. Returns ticks of the time stamp counter. Context: thread. */
uint64_t bench_block_run(bench_loop *loop, uint64_t calls);

/* Rounds, in each of which every way has a block. A first one comes whose samples are overwritten:
 * caches, and an emulator's translations.
 *
 *     struct bench_rounds rounds = bench_rounds_begin(session, "bench x", 100, 0);
 *     while (bench_rounds_next(&rounds)) {
 *         ticks[rounds.block] = bench_block_run(loop, 1000);
 *     }
 *     return rounds.blocks;                     samples there are; 0: Ctrl-C
 */
struct bench_rounds {
    uint32_t block;  /* of this round */
    uint32_t blocks; /* that have samples */
    /* bench_rounds_next() alone: */
    const struct shell_session *session;
    const char *command;
    uint32_t wanted, begun;
    uint64_t end_ns;
};

/* @blocks: 1 at least. @budget_ns: after this time no more than 1; 0: no budget. */
struct bench_rounds bench_rounds_begin(const struct shell_session *session, const char *command,
                                       uint32_t blocks, uint64_t budget_ns);

/* Returns false when all rounds have been, and after Ctrl-C, having said so. Context: thread, in
 * nobody's callback: this is a checkpoint. */
bool bench_rounds_next(struct bench_rounds *rounds);

/* Of a call, in picoseconds. */
struct bench_times {
    uint64_t calls;
    int64_t min_ps, p50_ps, p99_ps, max_ps; /* of blocks */
};

/* Sorts the ticks of @blocks blocks. */
void bench_blocks_sort(uint64_t *ticks, uint32_t blocks);

/* Adds up @blocks sorted blocks (1 at least) of @calls calls each, less the median of as many
 * sorted ones of the loop without a call. */
struct bench_times bench_blocks_sum_up(const uint64_t *sorted, const uint64_t *sorted_empty,
                                       uint32_t blocks, uint64_t calls);

/* The columns n, min_ns, p50_ns, p99_ns and max_ns. */
void bench_times_print(struct table *table, const struct bench_times *times);
