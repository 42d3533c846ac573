// SPDX-License-Identifier: MIT
/* What the entry stubs leave on the stack. Invariant: the order is that of the pushes in entry.asm
 * and trap_entry.asm; the hardware part ends the frame. Used by every trap handler. */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8;
    uint64_t rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector;
    uint64_t error; /* 0 where the CPU pushes none */
    uint64_t rip, cs, rflags, rsp, ss;
};

_Static_assert(offsetof(struct trap_frame, rax) == 14 * 8, "entry.asm pushes 15 registers");
_Static_assert(offsetof(struct trap_frame, rip) == 17 * 8, "entry.asm: vector, error, rip");
_Static_assert(sizeof(struct trap_frame) == 22 * 8, "entry.asm: TRAP_FRAME_BYTES");
