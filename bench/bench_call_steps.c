// SPDX-License-Identifier: MIT
/* Counts the instructions, bytes and branches of one call, by running it in single steps.
 * Invariant: what is printed was executed and counted; a count that is not certain is none. Called
 * by: bench_call_measure.c, bench_ways.c, bench_pv_measure.c. */
#include "arch/instruction_shape.h"
#include "arch/interrupts.h"
#include "arch/single_step.h"
#include "bench/bench_calls.h"
#include "kernel/thread.h"
#include "patching/platform.h"
#include "patching/transaction.h"

/* Counts the instruction at @address; whether it can be followed by the one at @next. */
static bool instruction_take(uint64_t address, uint64_t next, struct call_counts *counts,
                             struct instruction_shape *shape)
{
    if (!instruction_shape((const uint8_t *)address, INSTRUCTION_SHAPE_LONGEST, shape)) {
        return false;
    }
    counts->instructions++;
    counts->bytes += shape->length;
    counts->branches += shape->flow != INSTRUCTION_FLOW_ON;
    return instruction_shape_leads_to(shape, address, next);
}

/* Counts one step: one instruction, but for sti: where that holds off traps, too, one step is it
 * and the instruction behind it. That each leads to the next also shows a step that went missing.
 */
static void step_take(uint64_t address, uint64_t next, void *context)
{
    struct call_counts *counts = context;
    struct instruction_shape shape;

    if (instruction_take(address, next, counts, &shape)) {
        return;
    }
    if (!shape.holds_off_traps || !instruction_take(address + shape.length, next, counts, &shape)) {
        counts->is_known = false;
    }
}

struct call_counts call_steps_run(call_loop *loop, uint64_t calls)
{
    struct call_counts counts = {.is_known = true};
    uint64_t flags = interrupts_save();

    preempt_disable(); /* a loop may turn interrupts on */
    single_step_run(loop, calls, step_take, &counts);
    interrupts_restore(flags);
    preempt_enable();
    return counts;
}

struct call_counts call_counts_difference(const struct call_counts *more,
                                          const struct call_counts *less)
{
    return (struct call_counts){
        .is_known = more->is_known && less->is_known && more->instructions >= less->instructions &&
                    more->bytes >= less->bytes && more->branches >= less->branches,
        .instructions = more->instructions - less->instructions,
        .bytes = more->bytes - less->bytes,
        .branches = more->branches - less->branches,
    };
}

static bool is_equal(const struct call_counts *left, const struct call_counts *right)
{
    return left->instructions == right->instructions && left->bytes == right->bytes &&
           left->branches == right->branches;
}

/* One pass of @loop: what lies before and behind the passes is in both of two runs. The first run
 * does what happens only once; the last proves that all passes are alike. */
static struct call_counts pass_count(call_loop *loop)
{
    (void)call_steps_run(loop, 1);

    const struct call_counts one = call_steps_run(loop, 1);
    const struct call_counts two = call_steps_run(loop, 2);
    const struct call_counts three = call_steps_run(loop, 3);
    const struct call_counts third = call_counts_difference(&three, &two);
    struct call_counts second = call_counts_difference(&two, &one);

    second.is_known = second.is_known && third.is_known && is_equal(&second, &third);
    return second;
}

struct call_counts call_steps_count_less(call_loop *loop, call_loop *empty)
{
    if (patch_lock_take() != PATCH_OK) {
        return (struct call_counts){.is_known = false};
    }
    struct call_counts nothing = pass_count(empty);
    struct call_counts pass = pass_count(loop);

    platform_unlock();
    return call_counts_difference(&pass, &nothing);
}

struct call_counts call_steps_count(call_loop *loop)
{
    return call_steps_count_less(loop, call_loop_nothing);
}

struct call_counts call_steps_count_first(call_loop *loop)
{
    if (patch_lock_take() != PATCH_OK) {
        return (struct call_counts){.is_known = false};
    }
    const struct call_counts nothing = pass_count(call_loop_nothing);
    const struct call_counts first = call_steps_run(loop, 1);
    const struct call_counts later = call_steps_run(loop, 1);
    const struct call_counts pass = pass_count(loop); /* a later one */
    struct call_counts sum = call_counts_difference(&first, &later);

    platform_unlock();
    sum.is_known = sum.is_known && pass.is_known;
    sum.instructions += pass.instructions;
    sum.bytes += pass.bytes;
    sum.branches += pass.branches;
    return call_counts_difference(&sum, &nothing);
}
