// SPDX-License-Identifier: MIT
/* See single_step.h. Invariant: single_step.owner is the CPU that steps, NULL if none does. */
#include "arch/single_step.h"

#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "kernel/panic.h"

#include <stddef.h>

#define FLAG_TRAP (1ull << 8)

/* single_step.asm; the first instruction that is stepped, and the first that is not any more. */
extern void single_step_call(void (*function)(uint64_t), uint64_t argument);
extern const char single_step_first[], single_step_end[];

static struct {
    /* atomic; who set it owns the rest: */
    struct cpu *owner;
    single_step_callback *step;
    void *context;
    uint64_t address; /* of the instruction that is executed next */
} single_step;

void single_step_run(void (*function)(uint64_t), uint64_t argument, single_step_callback *step,
                     void *context)
{
    struct cpu *nobody = NULL;

    if (interrupts_enabled()) {
        panic("single_step_run: interrupts are on");
    }
    /* Acquire: pairs with the release below; else the fields could still be another CPU's. */
    if (!__atomic_compare_exchange_n(&single_step.owner, &nobody, this_cpu(), false,
                                     __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) {
        panic("single_step_run: CPU %u steps already", nobody->index);
    }
    single_step.step = step;
    single_step.context = context;
    single_step.address = (uint64_t)single_step_first;
    single_step_call(function, argument);
    __atomic_store_n(&single_step.owner, NULL, __ATOMIC_RELEASE);
}

bool single_step_handle(struct trap_frame *frame)
{
    /* Relaxed: this CPU's own store, or not this CPU. */
    if (__atomic_load_n(&single_step.owner, __ATOMIC_RELAXED) != this_cpu() ||
        !(frame->rflags & FLAG_TRAP)) {
        return false;
    }
    if (frame->rip == (uint64_t)single_step_end) {
        frame->rflags &= ~FLAG_TRAP;
    }
    single_step.step(single_step.address, frame->rip, single_step.context);
    single_step.address = frame->rip;
    return true;
}
