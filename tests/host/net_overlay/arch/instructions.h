// SPDX-License-Identifier: MIT
/* In the place of arch/instructions.h when net/ is built as a Linux program: instructions that a
 * program may not execute are variables. Invariant: the interrupt flag is kept, a thread its own,
 * so that kernel/spinlock.h asserts what it asserts in the kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

extern __thread bool net_fake_interrupts_are_off;
extern uint64_t net_fake_now_ns;

/* A tick is a nanosecond, so that a run can be repeated. */
static inline uint64_t read_tsc(void)
{
    return net_fake_now_ns;
}

static inline void cpu_relax(void)
{
    __asm__ volatile("pause" ::: "memory");
}

static inline bool interrupts_enabled(void)
{
    return !net_fake_interrupts_are_off;
}

static inline uint64_t interrupts_save(void)
{
    uint64_t flags = interrupts_enabled();

    net_fake_interrupts_are_off = true;
    return flags;
}

static inline void interrupts_restore(uint64_t flags)
{
    net_fake_interrupts_are_off = flags == 0;
}
