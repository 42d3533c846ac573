// SPDX-License-Identifier: MIT
/* Segments and interrupt stacks of a CPU. Invariant: each CPU has its own GDT and TSS inside its
 * struct cpu; NMI, double fault and machine check run on stacks of their own. Callers: percpu.c,
 * smp_start.c. */
#pragma once

#include "arch/percpu.h"

/* Entries of task_state_segment.interrupt_stack, as numbered in gate descriptors (1 is the first).
 */
enum interrupt_stack { STACK_OF_INTERRUPTED, STACK_NMI, STACK_DOUBLE_FAULT, STACK_MACHINE_CHECK };

#define SELECTOR_KERNEL_CODE 0x08
#define SELECTOR_KERNEL_DATA 0x10
#define SELECTOR_TASK_STATE  0x18

/* Fills the tables of @cpu, loads them on the CPU it runs on, and points GS at @cpu. The interrupt
 * stacks in cpu->tss are set before. Context: @cpu itself, interrupts off. */
void descriptors_load(struct cpu *cpu);
