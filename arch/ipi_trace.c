// SPDX-License-Identifier: MIT
/* Rings of IPIs sent; see ipi_trace.h. Invariant: a record is complete before its sequence number
 * is the newest. */

#include "arch/ipi_trace.h"

#include "arch/backtrace.h"
#include "arch/instructions.h"
#include "arch/traps.h"

DEFINE_STATIC_KEY_FALSE(ipi_trace);

/* Interrupts are off: one writer. */
static void stack_write(struct ipi_trace_stack *stack, uint64_t sequence, const void *frame)
{
    __atomic_store_n(&stack->sequence, 0, __ATOMIC_SEQ_CST); /* before the frames change */
    stack->frame_count = backtrace_walk((uint64_t)frame, stack->frames, IPI_TRACE_FRAMES);
    /* Release: pairs with the acquire in ipi_trace_get_stack(). */
    __atomic_store_n(&stack->sequence, sequence, __ATOMIC_RELEASE);
}

void ipi_trace_set_stacks(unsigned index, struct ipi_trace_stack *stacks)
{
    /* Release: pairs with the acquire in ipi_trace_add(): the memory is zeroed. */
    __atomic_store_n(&cpus[index]->ipi_trace_stacks, stacks, __ATOMIC_RELEASE);
}

bool ipi_trace_has_stacks(unsigned index)
{
    return __atomic_load_n(&cpus[index]->ipi_trace_stacks, __ATOMIC_ACQUIRE) != NULL;
}

void ipi_trace_add(unsigned to, unsigned vector, unsigned targets, const void *caller)
{
    uint64_t flags = interrupts_save();
    struct cpu *cpu = this_cpu();
    uint64_t sequence = cpu->ipi_trace_next + 1;

    cpu->ipi_trace[sequence % IPI_TRACE_RECORDS] = (struct ipi_trace_record){
        .ticks = read_tsc(),
        .caller = (uint64_t)caller,
        .from = (uint16_t)cpu->index,
        .to = (uint16_t)to,
        .vector = (uint16_t)vector,
        .targets = (uint16_t)targets,
        .sequence = sequence,
    };

    struct ipi_trace_stack *stacks = __atomic_load_n(&cpu->ipi_trace_stacks, __ATOMIC_ACQUIRE);

    if (stacks != NULL) {
        stack_write(&stacks[sequence % IPI_TRACE_RECORDS], sequence, __builtin_frame_address(0));
    }
    /* Release: pairs with the acquire in ipi_trace_newest(). */
    __atomic_store_n(&cpu->ipi_trace_next, sequence, __ATOMIC_RELEASE);
    interrupts_restore(flags);
}

uint64_t ipi_trace_newest(unsigned index)
{
    return __atomic_load_n(&cpus[index]->ipi_trace_next, __ATOMIC_ACQUIRE);
}

bool ipi_trace_get(unsigned index, uint64_t sequence, struct ipi_trace_record *record)
{
    *record = cpus[index]->ipi_trace[sequence % IPI_TRACE_RECORDS];
    return sequence != 0 && record->sequence == sequence;
}

bool ipi_trace_get_stack(unsigned index, uint64_t sequence, struct ipi_trace_stack *stack)
{
    const struct ipi_trace_stack *stacks =
        __atomic_load_n(&cpus[index]->ipi_trace_stacks, __ATOMIC_ACQUIRE);

    if (stacks == NULL || sequence == 0) {
        return false;
    }

    const struct ipi_trace_stack *slot = &stacks[sequence % IPI_TRACE_RECORDS];
    uint64_t before = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);

    *stack = *slot;
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the copy comes before the second look */
    return before == sequence && __atomic_load_n(&slot->sequence, __ATOMIC_RELAXED) == sequence;
}

const char *ipi_trace_vector_name(unsigned vector)
{
    switch (vector) {
    case VECTOR_SYNC_CORE:
        return "sync";
    case VECTOR_CALL:
        return "call";
    case VECTOR_RESCHEDULE:
        return "reschedule";
    case VECTOR_STOP:
        return "stop";
    default:
        return "?";
    }
}
