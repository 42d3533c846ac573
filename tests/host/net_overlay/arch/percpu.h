// SPDX-License-Identifier: MIT
/* In the place of arch/percpu.h when net/ is built as a Linux program: each thread is a CPU.
 * Invariant: cpu_index() stays the same in a thread unless its test changes it. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define CPU_MAX 8 /* reading a counter sums over them */

struct cpu {
    uint32_t index;
};

extern __thread unsigned net_fake_cpu;

static inline unsigned cpu_index(void)
{
    return net_fake_cpu;
}

extern unsigned net_fake_cpu_count; /* by tests of code that asks */

static inline unsigned cpu_count(void)
{
    return net_fake_cpu_count;
}

static inline unsigned cpu_present_count(void)
{
    return 1;
}

static inline struct cpu *cpu_by_index(unsigned index)
{
    static struct cpu cpu;

    cpu.index = index;
    return &cpu;
}

static inline bool cpu_is_online(const struct cpu *cpu)
{
    return cpu->index == 0;
}

static inline void cpu_preempt_count_increment(void)
{
}

static inline void cpu_preempt_count_decrement(void)
{
}
