// SPDX-License-Identifier: MIT
/* Switching kernel stacks. Invariant: a stack that does not run holds, from its stack pointer up,
 * the callee-saved registers and a return address. Caller: the scheduler, interrupts off. */
#pragma once

#include <stdint.h>

/* Saves the callee-saved registers on this stack, stores the stack pointer in @save, continues on
 * the stack
 * @load (a value stored by an earlier switch, or made by context_prepare()). Returns when some CPU
 * switches back. */
void context_switch(uint64_t *save, uint64_t load);

/* Prepares a fresh stack so that the first switch to it calls @entry(@argument) with interrupts as
 * the switcher has them. @entry must not return. Returns the value to load. */
uint64_t context_prepare(uint64_t stack_top, void (*entry)(void *argument), void *argument);
