// SPDX-License-Identifier: MIT
/* The native instructions built in, for comparison: native_copy_NAME() for every row of THE table,
 * as pv_NAME(), but with the native instruction (or a direct call of the native function) where
 * that has its site. Invariant: text and calling macro are the table's; nothing is written twice.
 * Callers: bench_pv_loops.c, bench_pv_native.c; whoever else did it would leave the ops out. */
#pragma once

#include "arch/paravirt.h"

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
uint64_t native_copy_lock_save(struct spinlock *lock);
