// SPDX-License-Identifier: MIT
/* The native instructions built in, for comparison: native_copy_NAME() for every row of THE table,
 * as pv_NAME(), but with the native instruction (or a direct call of the native function) where
 * that has its site. Invariant: text and calling macro are the table's; nothing is written twice.
 * Caller: bench_pv_loops.c; whoever else did it would leave the ops out. */
#pragma once

#include "arch/paravirt.h"
#include "kernel/spinlock.h"

/* A macro of the assembler takes the text: the table's has the percent signs of plain assembler,
 * which mean something else in a text with operands. */
#define NATIVE_TEXT_INSTRUCTION(native) native
#define NATIVE_TEXT_FUNCTION(native)    "call " #native
/* Compilers guess how long a text is by its lines, and lay out loops by that: as many as
 * PARAVIRT_SITE has. */
#define NATIVE_COPY_LINES "\n\t\n\t\n\t\n\t\n\t"
#define NATIVE_COPY(name, group, keeping, shape, types, kind, native, summary)                     \
    __asm__(".macro native_copy_of_" #name "\n\t" NATIVE_TEXT_##kind(native) "\n\t.endm");         \
    PARAVIRT_CALL_##keeping##_##shape(native_copy_##name, name,                                    \
                                      "native_copy_of_" #name NATIVE_COPY_LINES, types)
PARAVIRT_TABLE(NATIVE_COPY)

/* What spinlock_lock_save() is. */
static inline uint64_t native_copy_lock_save(struct spinlock *lock)
{
    uint64_t flags = native_copy_irq_save();
    uint32_t ticket;

    native_copy_irq_disable();
    ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);
    if (__builtin_expect(__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket, 0)) {
        native_copy_lock_slow(lock, ticket);
    }
    return flags;
}
