// SPDX-License-Identifier: MIT
/* This CPU's interrupt flag, through paravirt ops. Invariant: the only way to it outside
 * .text.nopatch, where no patched instruction may stand and the raw_ functions of
 * arch/instructions.h are used. Context: any but NMI. Callers: every room. */
#pragma once

#include "arch/instructions.h"
#include "arch/paravirt.h"

#include <stdbool.h>
#include <stdint.h>

static inline void interrupts_enable(void)
{
    pv_irq_enable();
}

static inline void interrupts_disable(void)
{
    pv_irq_disable();
}

static inline bool interrupts_enabled(void)
{
    return (pv_irq_save() & FLAG_INTERRUPT) != 0;
}

/* Turns interrupts off. Returns the flags that interrupts_restore() takes. */
static inline uint64_t interrupts_save(void)
{
    uint64_t flags = pv_irq_save();

    pv_irq_disable();
    return flags;
}

/* POPFQ would do it in one instruction, at ten times the price of a test and, where needed, STI. */
static inline void interrupts_restore(uint64_t flags)
{
    if (flags & FLAG_INTERRUPT) {
        pv_irq_restore();
    }
}
