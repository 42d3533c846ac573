// SPDX-License-Identifier: MIT
/* In the place of arch/instructions.h when net/ is built as a Linux program: instructions that a
 * program may not execute are variables. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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
