// SPDX-License-Identifier: MIT
/* The calls of paravirt ops: pv_irq_disable(), pv_lock_unlock(lock), ...: one function an op, with
 * the signature that paravirt_table.h gives it. What an op does: there; how it is patched:
 * patching/paravirt.h; who changes it: kernel/paravirt_switch.h. Invariant: each call is one site;
 * nothing here may be used by .text.nopatch (tools/check_nopatch.py). Callers: arch/interrupts.h,
 * kernel/spinlock.h, apic.c, paging.c, clock.c, idle.c. */
#pragma once

#include "arch/paravirt_table.h"
#include "patching/paravirt.h"

#include <stdint.h>

struct spinlock;

/* The native ways that are functions: each where it belongs. */
void native_safe_halt(void);                                   /* paravirt_native.c */
void native_lock_slow(struct spinlock *lock, uint32_t ticket); /* kernel/spinlock.c */
void native_tlb_flush_local(void);                             /* paging.c */
void native_tlb_flush_all(void);                               /* paging.c */
void native_send_ipi(uint32_t cpu, uint32_t vector);           /* apic.c */
void native_broadcast_ipi(uint32_t vector);                    /* apic.c */
uint64_t native_clock_read(void);                              /* clock.c */

/* What the indirect form calls through, by enum paravirt_op_id; and the state of each op. */
extern paravirt_function *pv_ops[PARAVIRT_OP_COUNT];
extern struct paravirt_op paravirt_ops[PARAVIRT_OP_COUNT];

/* The native ways, as chosen at boot for this CPU (xAPIC or x2APIC). */
extern const struct paravirt_way *paravirt_native_ways[PARAVIRT_OP_COUNT];

/* Patches every op to its native way, inline. Context: as paravirt_initialize(). */
PATCH_MUST_CHECK enum patch_status paravirt_ops_initialize(struct patch_error *error);

/* x2APIC: the end of an interrupt is a WRMSR there. Context: apic_initialize(), one CPU. */
void paravirt_native_use_x2apic(void);

/* ---- how a call is made: one macro for each pair of KEEPING and SHAPE ----
 *
 * @text is the instruction: a site, or a call through another array of slots (what a backend that
 * stands over another one calls). The stack pointer is an operand: a call must not be moved in
 * front of the frame's set-up, or backtraces would miss a caller. */

register uint64_t paravirt_stack_pointer __asm__("rsp");

/* PARAVIRT_FIRST((a, b)) is a. */
#define PARAVIRT_FIRST_OF(first, ...)          first
#define PARAVIRT_SECOND_OF(first, second, ...) second
#define PARAVIRT_EXPAND(...)                   __VA_ARGS__
#define PARAVIRT_FIRST(types)                  PARAVIRT_EXPAND(PARAVIRT_FIRST_OF types)
#define PARAVIRT_SECOND(types)                 PARAVIRT_EXPAND(PARAVIRT_SECOND_OF types)
/* clang-format off */
#define PARAVIRT_NUMBERS(name) \
    [op] "i"(PARAVIRT_##name), [offset] "i"(8 * PARAVIRT_##name)
/* clang-format on */
#define PARAVIRT_CALL_REGISTERS "rcx", "rdx", "r8", "r9", "r10", "r11", "memory", "cc"

#define PARAVIRT_CALL_KEEPS_NOTHING(function, name, text, types)                                   \
    static inline void function(void)                                                              \
    {                                                                                              \
        __asm__ volatile(text                                                                      \
                         : "+r"(paravirt_stack_pointer)                                            \
                         : PARAVIRT_NUMBERS(name)                                                  \
                         : "memory", "cc");                                                        \
    }

#define PARAVIRT_CALL_CALLS_NOTHING(function, name, text, types)                                   \
    static inline void function(void)                                                              \
    {                                                                                              \
        __asm__ volatile(text                                                                      \
                         : "+r"(paravirt_stack_pointer)                                            \
                         : PARAVIRT_NUMBERS(name)                                                  \
                         : "rax", "rdi", "rsi", PARAVIRT_CALL_REGISTERS);                          \
    }

#define PARAVIRT_CALL_KEEPS_STACKED(function, name, text, types)                                   \
    static inline PARAVIRT_FIRST(types) function(void)                                             \
    {                                                                                              \
        PARAVIRT_FIRST(types) result;                                                              \
                                                                                                   \
        __asm__ volatile(text "popq %[result]"                                                     \
                         : [result] "=r"(result), "+r"(paravirt_stack_pointer)                     \
                         : PARAVIRT_NUMBERS(name)                                                  \
                         : "memory", "cc");                                                        \
        return result;                                                                             \
    }

#define PARAVIRT_CALL_CALLS_RETURNS(function, name, text, types)                                   \
    static inline PARAVIRT_FIRST(types) function(void)                                             \
    {                                                                                              \
        PARAVIRT_FIRST(types) result;                                                              \
                                                                                                   \
        __asm__ volatile(text                                                                      \
                         : "=a"(result), "+r"(paravirt_stack_pointer)                              \
                         : PARAVIRT_NUMBERS(name)                                                  \
                         : "rdi", "rsi", PARAVIRT_CALL_REGISTERS);                                 \
        return result;                                                                             \
    }

#define PARAVIRT_CALL_KEEPS_TAKES(function, name, text, types)                                     \
    static inline void function(PARAVIRT_FIRST(types) first)                                       \
    {                                                                                              \
        __asm__ volatile(text                                                                      \
                         : "+r"(paravirt_stack_pointer)                                            \
                         : "D"((uint64_t)first), PARAVIRT_NUMBERS(name)                            \
                         : "memory", "cc");                                                        \
    }

#define PARAVIRT_CALL_CALLS_TAKES(function, name, text, types)                                     \
    static inline void function(PARAVIRT_FIRST(types) first)                                       \
    {                                                                                              \
        uint64_t rdi = (uint64_t)first;                                                            \
                                                                                                   \
        __asm__ volatile(text                                                                      \
                         : "+D"(rdi), "+r"(paravirt_stack_pointer)                                 \
                         : PARAVIRT_NUMBERS(name)                                                  \
                         : "rax", "rsi", PARAVIRT_CALL_REGISTERS);                                 \
    }

#define PARAVIRT_CALL_CALLS_TAKES2(function, name, text, types)                                    \
    static inline void function(PARAVIRT_FIRST(types) first, PARAVIRT_SECOND(types) second)        \
    {                                                                                              \
        uint64_t rdi = (uint64_t)first;                                                            \
        uint64_t rsi = (uint64_t)second;                                                           \
                                                                                                   \
        __asm__ volatile(text                                                                      \
                         : "+D"(rdi), "+S"(rsi), "+r"(paravirt_stack_pointer)                      \
                         : PARAVIRT_NUMBERS(name)                                                  \
                         : "rax", PARAVIRT_CALL_REGISTERS);                                        \
    }

/* pv_NAME() for every row. */
#define PARAVIRT_DEFINE_CALL(name, group, keeping, shape, types, kind, native, summary)            \
    PARAVIRT_CALL_##keeping##_##shape(pv_##name, name, PARAVIRT_SITE(pv_ops), types)
// cppcheck-suppress uninitvar ; written by the asm
PARAVIRT_TABLE(PARAVIRT_DEFINE_CALL)
