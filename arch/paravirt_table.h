// SPDX-License-Identifier: MIT
/* THE table of paravirt ops: the calls (paravirt.h), the native ways (paravirt_native.c), the
 * listing (`pv`) and every backend derive from it. Invariant: nothing else names all ops.
 *
 * A row: OP(name, group, KEEPING, SHAPE, (types), kind, native, summary)
 *
 * group: ops that may only change together; "" for an op of its own.
 * KEEPING: KEEPS: all registers but those of the result (a way in C goes through a thunk);
 *          CALLS: clobbers what an ordinary call does: for what is a function by nature.
 * SHAPE, with the types of its operands:
 *   NOTHING  ()                void op(void)
 *   STACKED  (result)          result op(void), left on the stack: PUSHFQ does that, and so the
 *                              instruction that fetches the result is no part of the site
 *   RETURNS  (result)          result op(void), in rax
 *   TAKES    (first)           void op(first), in rdi
 *   TAKES2   (first, second)   void op(first, second), in rdi, rsi
 * kind and native: INSTRUCTION, "text"   one instruction of at most six bytes, operands as in SHAPE
 *                  FUNCTION, symbol      a function with the types of SHAPE */
#pragma once

#define PARAVIRT_TABLE(OP)                                                                         \
    OP(irq_save, "", KEEPS, STACKED, (uint64_t), INSTRUCTION, "pushfq",                            \
       "reads the flags, the interrupt flag among them")                                           \
    OP(irq_restore, "", KEEPS, NOTHING, (), INSTRUCTION, "sti",                                    \
       "turns interrupts on again where saved flags had them on")                                  \
    OP(irq_disable, "", KEEPS, NOTHING, (), INSTRUCTION, "cli", "turns interrupts off")            \
    OP(irq_enable, "", KEEPS, NOTHING, (), INSTRUCTION, "sti", "turns interrupts on")              \
    OP(safe_halt, "", CALLS, NOTHING, (), FUNCTION, native_safe_halt,                              \
       "turns interrupts on and halts, with no gap between")                                       \
    OP(lock_slow, "lock", CALLS, TAKES2, (struct spinlock *, uint32_t), FUNCTION,                  \
       native_lock_slow, "waits until a ticket of a spinlock is served")                           \
    OP(lock_unlock, "lock", KEEPS, TAKES, (struct spinlock *), INSTRUCTION, "incl 12(%rdi)",       \
       "serves the next ticket of a spinlock")                                                     \
    OP(lock_kick, "lock", CALLS, TAKES, (uint32_t), INSTRUCTION, "nop",                            \
       "wakes a CPU that halted while it waits for a spinlock")                                    \
    OP(tlb_flush_page, "", KEEPS, TAKES, (uint64_t), INSTRUCTION, "invlpg (%rdi)",                 \
       "drops this CPU's translation of one page")                                                 \
    OP(tlb_flush_local, "", CALLS, NOTHING, (), FUNCTION, native_tlb_flush_local,                  \
       "drops all translations of this CPU, global ones too")                                      \
    OP(tlb_flush_all, "", CALLS, NOTHING, (), FUNCTION, native_tlb_flush_all,                      \
       "drops all translations of every CPU")                                                      \
    OP(eoi, "", KEEPS, TAKES, (uint64_t), INSTRUCTION, "movl $0, (%rdi)",                          \
       "ends the interrupt in service at the local APIC")                                          \
    OP(send_ipi, "", CALLS, TAKES2, (uint32_t, uint32_t), FUNCTION, native_send_ipi,               \
       "interrupts one CPU with a vector")                                                         \
    OP(broadcast_ipi, "", CALLS, TAKES, (uint32_t), FUNCTION, native_broadcast_ipi,                \
       "interrupts all other CPUs with a vector")                                                  \
    OP(clock_read, "", CALLS, RETURNS, (uint64_t), FUNCTION, native_clock_read,                    \
       "nanoseconds since boot; never goes back")

#define PARAVIRT_ID(name, ...) PARAVIRT_##name,
enum paravirt_op_id { PARAVIRT_TABLE(PARAVIRT_ID) PARAVIRT_OP_COUNT };
