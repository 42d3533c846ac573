// SPDX-License-Identifier: MIT
/* Rings of IPIs sent; see ipi_trace.h. Invariant: a record, or a stack, is seen whole or not at
 * all. Both carry the number of the send, and are written and read alike:
 *
 *   sender, interrupts off                   reader, on any CPU
 *   slot's number = 0
 *     (release fence)                        number is n? (acquire) else: not there
 *   the slot's other words                   copies the slot
 *   slot's number = n + 64  (release)          (acquire fence)
 *   newest = n + 64         (release)        number is n still? else: drops the copy
 *
 * Without the first fence the reader could copy a word of n + 64 and still find n behind it;
 * without its own it could look a second time before it has copied. A send is not interrupted: NMI
 * and #BP send no IPI. */
#include "arch/ipi_trace.h"

#include "arch/backtrace.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/traps.h"
#include "kernel/string.h"

DEFINE_STATIC_KEY_FALSE(ipi_trace);

/* From here to slot_close() the slot is nobody's. See the race at the head, for all three. */
static inline void slot_open(uint64_t *slot_sequence)
{
    __atomic_store_n(slot_sequence, 0, __ATOMIC_RELAXED);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void slot_close(uint64_t *slot_sequence, uint64_t sequence)
{
    __atomic_store_n(slot_sequence, sequence, __ATOMIC_RELEASE);
}

/* Copies a slot of @size bytes. Returns false if it is not that of @sequence from end to end. */
static bool slot_copy(void *copy, const void *slot, size_t size, const uint64_t *slot_sequence,
                      uint64_t sequence)
{
    if (sequence == 0 || __atomic_load_n(slot_sequence, __ATOMIC_ACQUIRE) != sequence) {
        return false;
    }
    memcpy(copy, slot, size);
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return __atomic_load_n(slot_sequence, __ATOMIC_RELAXED) == sequence;
}

static void stack_write(struct ipi_trace_stack *stack, uint64_t sequence, const void *frame)
{
    slot_open(&stack->sequence);
    stack->frame_count = backtrace_walk((uint64_t)frame, stack->frames, IPI_TRACE_FRAMES);
    slot_close(&stack->sequence, sequence);
}

/* The number of @record is 0, as that of the slot meanwhile. */
static void record_write(struct ipi_trace_record *slot, uint64_t sequence,
                         const struct ipi_trace_record *record)
{
    slot_open(&slot->sequence);
    *slot = *record;
    slot_close(&slot->sequence, sequence);
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

    record_write(&cpu->ipi_trace[sequence % IPI_TRACE_RECORDS], sequence,
                 &(struct ipi_trace_record){
                     .ticks = read_tsc(),
                     .caller = (uint64_t)caller,
                     .from = (uint16_t)cpu->index,
                     .to = (uint16_t)to,
                     .vector = (uint16_t)vector,
                     .targets = (uint16_t)targets,
                 });

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
    const struct ipi_trace_record *slot = &cpus[index]->ipi_trace[sequence % IPI_TRACE_RECORDS];

    return slot_copy(record, slot, sizeof(*slot), &slot->sequence, sequence);
}

bool ipi_trace_get_stack(unsigned index, uint64_t sequence, struct ipi_trace_stack *stack)
{
    const struct ipi_trace_stack *stacks =
        __atomic_load_n(&cpus[index]->ipi_trace_stacks, __ATOMIC_ACQUIRE);

    if (stacks == NULL) {
        return false;
    }

    const struct ipi_trace_stack *slot = &stacks[sequence % IPI_TRACE_RECORDS];

    return slot_copy(stack, slot, sizeof(*slot), &slot->sequence, sequence);
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
