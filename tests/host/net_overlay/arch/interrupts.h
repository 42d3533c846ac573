// SPDX-License-Identifier: MIT
/* In the place of arch/interrupts.h when net/ is built as a Linux program, and of the paravirt ops
 * that kernel/spinlock.h uses. Invariant: the interrupt flag is kept, a thread its own, so that
 * kernel/spinlock.c asserts what it asserts in the kernel. */
#pragma once

#include "arch/instructions.h"

#include <stdbool.h>
#include <stdint.h>

struct spinlock;

extern __thread bool net_fake_interrupts_are_off;

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

/* kernel/spinlock.c */
void native_lock_slow(struct spinlock *lock, uint32_t ticket);

#define pv_lock_slow native_lock_slow
#define pv_lock_unlock(lock)                                                                       \
    __atomic_store_n(&(lock)->serving, (lock)->serving + 1, __ATOMIC_RELEASE)
