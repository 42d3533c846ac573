// SPDX-License-Identifier: MIT
/* Functions that are ways of paravirt ops (patching/paravirt.h): in assembler, or in C behind a
 * thunk. A site gives up only what its op declares, a C function gives up nine registers: the thunk
 * keeps them. Invariant: whatever a thunk is called with, its function gets, and the caller finds
 * again; not so the flags. Thunks have a frame: without it a backtrace would leave out the function
 * that the site is in.
 *
 * API: PARAVIRT_ASM_FUNCTION, PARAVIRT_THUNK, PARAVIRT_THUNK_STACKED. At file scope.
 * Source: System V psABI for x86-64, section 3.2.1 (registers that a call gives up). */
#pragma once

/* Defines the function @symbol of assembler text @body, visible to the linker. */
#define PARAVIRT_ASM_FUNCTION(symbol, body)                                                        \
    extern void symbol(void);                                                                      \
    __asm__(".pushsection .text\n\t"                                                               \
            ".balign 16, 0xcc\n\t"                                                                 \
            ".globl " #symbol "\n\t"                                                               \
            ".type " #symbol ", @function\n" #symbol ":\n\t" body ".size " #symbol                 \
            ", . - " #symbol "\n\t"                                                                \
            ".popsection")

#define PARAVIRT_THUNK_SAVE                                                                        \
    "push %rbp\n\tmov %rsp, %rbp\n\tpush %rax\n\t"                                                 \
    "push %rcx\n\tpush %rdx\n\tpush %rsi\n\tpush %rdi\n\t"                                         \
    "push %r8\n\tpush %r9\n\tpush %r10\n\tpush %r11\n\t"
#define PARAVIRT_THUNK_RESTORE                                                                     \
    "pop %r11\n\tpop %r10\n\tpop %r9\n\tpop %r8\n\t"                                               \
    "pop %rdi\n\tpop %rsi\n\tpop %rdx\n\tpop %rcx\n\t"                                             \
    "pop %rax\n\tpop %rbp\n\tret\n\t"

/* PARAVIRT_THUNK(name) defines paravirt_thunk_NAME, which calls the C function @name (visible to
 * the linker) with its own arguments. @name returns nothing. */
#define PARAVIRT_THUNK(name)                                                                       \
    PARAVIRT_ASM_FUNCTION(paravirt_thunk_##name,                                                   \
                          PARAVIRT_THUNK_SAVE "call " #name "\n\t" PARAVIRT_THUNK_RESTORE)

/* The same for one that returns uint64_t, which the thunk leaves on the stack: it moves its own
 * return address one word down. */
#define PARAVIRT_THUNK_STACKED(name)                                                               \
    PARAVIRT_ASM_FUNCTION(paravirt_thunk_##name,                                                   \
                          "push (%rsp)\n\t" PARAVIRT_THUNK_SAVE "call " #name                      \
                          "\n\tmov %rax, 16(%rbp)\n\t" PARAVIRT_THUNK_RESTORE)
