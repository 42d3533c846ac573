// SPDX-License-Identifier: MIT
/* Executes one site of a paravirt op with every register known, and sees what it leaves behind.
 * Invariant: whatever the site does to registers, the caller's are as before; the stack pointer in
 * front of the site is a multiple of 16, as in front of any call. Reentrant. Used by: paravirts.c,
 * test_live_paravirt.c. */
#pragma once

#include "patching/paravirt.h"

#include <stdint.h>

/* In the order of the machine code: rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8 to r15. */
enum {
    PARAVIRT_RAX,
    PARAVIRT_RSP = 4,
    PARAVIRT_RSI = 6,
    PARAVIRT_RDI = 7,
    PARAVIRT_REGISTERS = 16
};

struct paravirt_registers {
    uint64_t general[PARAVIRT_REGISTERS];
    uint64_t flags;
};

struct paravirt_run {
    struct paravirt_registers given; /* rsp: written by the runner */
    struct paravirt_registers found; /* rsp: before a word is fetched */
    uint64_t word;                   /* that a site left on the stack; else 0 */
};
_Static_assert(offsetof(struct paravirt_run, found) == 0x88, "the assembler text below says so");
_Static_assert(offsetof(struct paravirt_run, word) == 0x110, "the assembler text below says so");

typedef void paravirt_runner(struct paravirt_run *run);

#define PARAVIRT_RUN_SAVE                                                                          \
    "push %%rbx\n\tpush %%rbp\n\tpush %%r12\n\tpush %%r13\n\tpush %%r14\n\tpush %%r15\n\t"         \
    "mov %%rsp, %%rax\n\tand $-16, %%rsp\n\tpush %%rax\n\tpush %%rdi\n\t"                          \
    "mov %%rsp, 0x20(%%rdi)\n\t"

#define PARAVIRT_RUN_LOAD                                                                          \
    "push 0x80(%%rdi)\n\tpopf\n\t"                                                                 \
    "mov 0x00(%%rdi), %%rax\n\tmov 0x08(%%rdi), %%rcx\n\tmov 0x10(%%rdi), %%rdx\n\t"               \
    "mov 0x18(%%rdi), %%rbx\n\tmov 0x28(%%rdi), %%rbp\n\tmov 0x30(%%rdi), %%rsi\n\t"               \
    "mov 0x40(%%rdi), %%r8\n\tmov 0x48(%%rdi), %%r9\n\tmov 0x50(%%rdi), %%r10\n\t"                 \
    "mov 0x58(%%rdi), %%r11\n\tmov 0x60(%%rdi), %%r12\n\tmov 0x68(%%rdi), %%r13\n\t"               \
    "mov 0x70(%%rdi), %%r14\n\tmov 0x78(%%rdi), %%r15\n\tmov 0x38(%%rdi), %%rdi\n\t"

/* @words: bytes that the site leaves on the stack, above which stands the pointer. */
#define PARAVIRT_RUN_STORE(words)                                                                  \
    "push %%rdi\n\tmov 8 + " #words "(%%rsp), %%rdi\n\tpop 0xc0(%%rdi)\n\t"                        \
    "pushf\n\tpop 0x108(%%rdi)\n\t"                                                                \
    "mov %%rax, 0x88(%%rdi)\n\tmov %%rcx, 0x90(%%rdi)\n\tmov %%rdx, 0x98(%%rdi)\n\t"               \
    "mov %%rbx, 0xa0(%%rdi)\n\tmov %%rsp, 0xa8(%%rdi)\n\tmov %%rbp, 0xb0(%%rdi)\n\t"               \
    "mov %%rsi, 0xb8(%%rdi)\n\tmov %%r8, 0xc8(%%rdi)\n\tmov %%r9, 0xd0(%%rdi)\n\t"                 \
    "mov %%r10, 0xd8(%%rdi)\n\tmov %%r11, 0xe0(%%rdi)\n\tmov %%r12, 0xe8(%%rdi)\n\t"               \
    "mov %%r13, 0xf0(%%rdi)\n\tmov %%r14, 0xf8(%%rdi)\n\tmov %%r15, 0x100(%%rdi)\n\t"

#define PARAVIRT_RUN_RESTORE                                                                       \
    "pop %%rdi\n\tpop %%rsp\n\t"                                                                   \
    "pop %%r15\n\tpop %%r14\n\tpop %%r13\n\tpop %%r12\n\tpop %%rbp\n\tpop %%rbx\n\t"

/* Defines the runner @function of a site of op @op_index, which goes through the array @slots. */
#define PARAVIRT_RUNNER(function, slots, op_index)                                                 \
    PARAVIRT_RUNNER_STORES(function, slots, op_index, PARAVIRT_RUN_STORE(0))
/* The same of an op whose result lies on the stack. */
#define PARAVIRT_RUNNER_STACKED(function, slots, op_index)                                         \
    PARAVIRT_RUNNER_STORES(function, slots, op_index, PARAVIRT_RUN_STORE(8) "pop 0x110(%%rdi)\n\t")

#define PARAVIRT_RUNNER_STORES(function, slots, op_index, store)                                   \
    __attribute__((noinline)) static void function(struct paravirt_run *run)                       \
    {                                                                                              \
        run->word = 0;                                                                             \
        __asm__ volatile(PARAVIRT_RUN_SAVE PARAVIRT_RUN_LOAD PARAVIRT_SITE(slots)                  \
                             store PARAVIRT_RUN_RESTORE                                            \
                         : "+D"(run)                                                               \
                         : [op] "i"(op_index), [offset] "i"(8 * (op_index))                        \
                         : "rax", "rcx", "rdx", "rsi", "r8", "r9", "r10", "r11", "memory", "cc");  \
    }
