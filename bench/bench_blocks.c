// SPDX-License-Identifier: MIT
/* See bench_blocks.h. */
#include "bench/bench_blocks.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "kernel/console.h"
#include "kernel/shell.h"
#include "kernel/table.h"
#include "patching/heap_sort.h"

/* Not inlined: the same instructions between the two looks for every loop. */
__attribute__((noinline)) uint64_t bench_block_run(bench_loop *loop, uint64_t calls)
{
    uint64_t flags = interrupts_save();
    uint64_t start = read_tsc();

    loop(calls);

    uint64_t end = read_tsc();

    interrupts_restore(flags);
    return end - start;
}

struct bench_rounds bench_rounds_begin(const struct shell_session *session, const char *command,
                                       uint32_t blocks, uint64_t budget_ns)
{
    return (struct bench_rounds){
        .session = session,
        .command = command,
        .wanted = blocks + 1,
        .end_ns = budget_ns != 0 ? clock_now_ns() + budget_ns : UINT64_MAX,
    };
}

bool bench_rounds_next(struct bench_rounds *rounds)
{
    if (rounds->begun > 0) {
        rounds->blocks = rounds->block + 1;
        if (shell_interrupted(rounds->session)) {
            console_print("%s: stopped by Ctrl-C\n", rounds->command);
            rounds->blocks = 0;
            return false;
        }
    }
    if (rounds->begun == rounds->wanted || (rounds->begun > 1 && clock_now_ns() > rounds->end_ns)) {
        return false;
    }
    rounds->block = rounds->begun > 0 ? rounds->begun - 1 : 0;
    rounds->begun++;
    return true;
}

static bool is_less(const void *left, const void *right)
{
    return *(const uint64_t *)left < *(const uint64_t *)right;
}

void bench_blocks_sort(uint64_t *ticks, uint32_t blocks)
{
    heap_sort(ticks, blocks, sizeof(ticks[0]), is_less);
}

static int64_t ps_a_call(uint64_t block_ticks, uint64_t calls)
{
    return (int64_t)(clock_ticks_to_ns(block_ticks * 1000) / calls);
}

struct bench_times bench_blocks_sum_up(const uint64_t *sorted, const uint64_t *sorted_empty,
                                       uint32_t blocks, uint64_t calls)
{
    uint32_t middle = (blocks - 1) / 2;
    int64_t loop_ps = ps_a_call(sorted_empty[middle], calls);

    return (struct bench_times){
        .calls = blocks * calls,
        .min_ps = ps_a_call(sorted[0], calls) - loop_ps,
        .p50_ps = ps_a_call(sorted[middle], calls) - loop_ps,
        .p99_ps = ps_a_call(sorted[(blocks * 99 + 99) / 100 - 1], calls) - loop_ps,
        .max_ps = ps_a_call(sorted[blocks - 1], calls) - loop_ps,
    };
}

void bench_times_print(struct table *table, const struct bench_times *times)
{
    table_number(table, "n", 7, times->calls);
    table_thousandths(table, "min_ns", 9, times->min_ps);
    table_thousandths(table, "p50_ns", 9, times->p50_ps);
    table_thousandths(table, "p99_ns", 9, times->p99_ps);
    table_thousandths(table, "max_ns", 9, times->max_ps);
}
