// SPDX-License-Identifier: MIT
/* See bench_ways.h: times by blocks, instructions by single steps. Invariant: all ways of a row are
 * timed in turn, block by block, the loop alone among them; what is counted was executed. */
#include "bench/bench_ways.h"

#include "bench/bench_calls.h"
#include "kernel/table.h"
#include "patching/indirect_thunk.h"
#include "patching/platform.h"
#include "patching/transaction.h"

/* By the shell's thread: one bench at a time. */
static dispatch_loop *loops[BENCH_WAYS] = {
    [BENCH_WAY_NOTHING] = dispatch_loop_nothing,
    [BENCH_WAY_DIRECT] = dispatch_loop_direct,
    [BENCH_WAY_INDIRECT] = dispatch_loop_indirect,
    [BENCH_WAY_THUNK] = dispatch_loop_retpoline,
};

const char *bench_way_name(enum bench_way way)
{
    switch (way) {
    case BENCH_WAY_DIRECT:
        return "direct";
    case BENCH_WAY_INDIRECT:
        return "indirect";
    default:
        return mitigation_current() == MITIGATION_RETPOLINE ? "retpoline" : "thunk";
    }
}

/* Ticks of the blocks. */
static uint64_t ticks[BENCH_WAYS][BENCH_WAYS_BLOCKS_MAX];

static bool is_in(unsigned ways, enum bench_way way)
{
    return way == BENCH_WAY_NOTHING || (ways & 1u << way) != 0;
}

/* Returns the number of samples; 0: Ctrl-C. */
static uint32_t ways_time(struct shell_session *session, const struct bench_ways_request *request,
                          unsigned ways)
{
    struct bench_rounds rounds =
        bench_rounds_begin(session, request->command, request->blocks, request->budget_ns);

    while (bench_rounds_next(&rounds)) {
        for (enum bench_way way = 0; way < BENCH_WAYS; way++) {
            if (is_in(ways, way)) {
                ticks[way][rounds.block] = bench_block_run(loops[way], BENCH_WAYS_BLOCK);
            }
        }
    }
    return rounds.blocks;
}

/* Sorts the samples of @way, those of the loop alone being sorted, and adds them up. */
static void way_sum_up(enum bench_way way, uint32_t blocks, struct bench_way_result *result)
{
    bench_blocks_sort(ticks[way], blocks);
    result->times =
        bench_blocks_sum_up(ticks[way], ticks[BENCH_WAY_NOTHING], blocks, BENCH_WAYS_BLOCK);
}

/* What one pass through @loop executes, the next two being of the same target: what lies before and
 * behind the passes is in both runs. Moves on by three calls. */
static struct call_counts pass_count(dispatch_loop *loop)
{
    const struct call_counts one = call_steps_run(loop, 1);
    const struct call_counts two = call_steps_run(loop, 2);

    return call_counts_difference(&two, &one);
}

/* Instructions of a call of each target that @numbers has, which is called thrice in a row for it;
 * added up as often as it stands there. */
static void way_count(enum bench_way way, const uint32_t counts[DISPATCH_PROGRAMS],
                      const struct call_counts *nothing, struct bench_way_result *result)
{
    uint64_t sum = 0;

    result->is_counted = nothing->is_known;
    for (uint32_t number = 0; number < DISPATCH_PROGRAMS; number++) {
        if (counts[number] == 0) {
            continue;
        }
        const struct call_counts pass = pass_count(loops[way]);
        const struct call_counts call = call_counts_difference(&pass, nothing);

        result->is_counted = result->is_counted && call.is_known;
        sum += call.instructions * counts[number];
    }
    result->thousandths = (int64_t)(sum * 1000 / DISPATCH_SEQUENCE);
}

/* Each number that @counts has, thrice; from the beginning again for each way. */
static void steps_prepare(const uint32_t counts[DISPATCH_PROGRAMS])
{
    static uint8_t numbers[DISPATCH_SEQUENCE];
    uint32_t length = 0;

    for (uint8_t number = 0; number < DISPATCH_PROGRAMS; number++) {
        for (unsigned i = 0; counts[number] != 0 && i < 3; i++) {
            numbers[length++] = number;
        }
    }
    dispatch_loops_set(numbers);
}

static void ways_count(unsigned ways, const uint8_t numbers[DISPATCH_SEQUENCE],
                       struct bench_way_result results[BENCH_WAYS])
{
    uint32_t counts[DISPATCH_PROGRAMS] = {0};

    for (uint32_t i = 0; i < DISPATCH_SEQUENCE; i++) {
        counts[numbers[i]]++;
    }
    steps_prepare(counts);
    if (patch_lock_take() != PATCH_OK) {
        return; /* nothing is counted */
    }
    (void)pass_count(dispatch_loop_nothing); /* does what happens only once */

    const struct call_counts nothing = pass_count(dispatch_loop_nothing);

    for (enum bench_way way = BENCH_WAY_NOTHING + 1; way < BENCH_WAYS; way++) {
        if (is_in(ways, way)) {
            dispatch_loops_rewind();
            way_count(way, counts, &nothing, &results[way]);
        }
    }
    platform_unlock();
    dispatch_loops_set(numbers);
}

bool bench_ways_measure(struct shell_session *session, const struct bench_ways_request *request,
                        unsigned ways, const uint8_t numbers[DISPATCH_SEQUENCE],
                        struct bench_way_result results[BENCH_WAYS])
{
    loops[BENCH_WAY_BENCHED] = request->benched;

    uint32_t blocks = ways_time(session, request, ways);

    if (blocks == 0) {
        return false;
    }
    for (enum bench_way way = 0; way < BENCH_WAYS; way++) {
        results[way] = (struct bench_way_result){.is_counted = false};
        if (is_in(ways, way)) {
            way_sum_up(way, blocks, &results[way]);
        }
    }
    ways_count(ways, numbers, results);
    return true;
}

void bench_way_print(struct table *table, const struct bench_way_result *result,
                     const struct bench_way_result *thunk)
{
    if (result->is_counted) {
        table_thousandths(table, "instructions", 0, result->thousandths);
    } else {
        table_none(table, "instructions", 0);
    }
    table_thousandths(table, "ns", 9, result->times.p50_ps);
    table_thousandths(table, "thunk_ns", 9, thunk->times.p50_ps);
    bench_times_print(table, &result->times);
}
