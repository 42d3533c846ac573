// SPDX-License-Identifier: MIT
/* Rings of IPIs sent; see ipi_trace.h. Invariant: a record is complete before its sequence number
 * is the newest. */

#include "arch/ipi_trace.h"

#include "arch/instructions.h"

DEFINE_STATIC_KEY_FALSE(ipi_trace);

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
