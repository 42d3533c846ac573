// SPDX-License-Identifier: MIT
/* Kernel stacks. Invariant: every stack, the boot CPU's included, is STACK_SIZE bytes above an
 * unmapped guard page; a slot once mapped stays mapped. Callers: percpu.c, the scheduler, the
 * double-fault report. */
#pragma once

#include "arch/descriptors.h"

#include <stdbool.h>
#include <stdint.h>

#define STACK_SIZE       (4 * 4096ull)
#define STACK_SLOT_SIZE  (STACK_SIZE + 4096ull)
#define BOOT_STACK_SLOTS 4 /* main, NMI, double fault, machine check: boot/start.asm */

/* Gives a kernel stack. Returns its top (16-byte aligned, the initial RSP), or 0 without memory.
 * Freed stacks stay mapped and are given out again, so that only a stack that was mapped in part,
 * memory being out, costs a flush of all CPUs (op tlb_flush_all). Context: thread, interrupts on,
 * no spinlock held; boot. */
uint64_t stack_allocate(void);

/* Context: any but NMI. */
void stack_free(uint64_t stack_top);

/* Freed stacks kept for reuse; each holds STACK_SIZE / PAGE_SIZE frames. For leak checks. */
unsigned stack_cached_count(void);

/* Top of the boot CPU's stack of that kind; they lie in the image (boot/start.asm). */
uint64_t stack_boot_top(enum interrupt_stack stack);

/* True if @address lies in a guard page below a stack: a stack overflow. Context: any. */
bool stack_guard_contains(uint64_t address);
