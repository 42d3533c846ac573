// SPDX-License-Identifier: MIT
/* Vectors, the interrupt descriptor table and the way from an entry stub to a C handler. Invariant:
 * the table is complete before the first C line after boot_main()'s set-up; a vector without a
 * handler is counted and acknowledged, an unexpected exception is a panic. Callers: drivers,
 * kernel/, arch/. */
#pragma once

#include "arch/trap_frame.h"

#include <stdint.h>

enum trap_vector {
    VECTOR_DEBUG = 1,
    VECTOR_NMI = 2,
    VECTOR_BREAKPOINT = 3,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_PAGE_FAULT = 14,
    VECTOR_MACHINE_CHECK = 18,
    VECTOR_EXCEPTIONS = 32,
    VECTOR_IRQ_BASE = 0x20, /* + ISA line: drivers route theirs here by ioapic_route() */
    VECTOR_PIC_BASE = 0xe0, /* the two 8259s, masked: only spurious ones could come */
    VECTOR_TIMER = 0xf0,
    VECTOR_SYNC_CORE = 0xf1,
    VECTOR_CALL = 0xf2,
    VECTOR_RESCHEDULE = 0xf3,
    VECTOR_STOP = 0xf4,
    VECTOR_PATCH_WORK = 0xf5, /* to itself: apic_interrupt_self() */
    VECTOR_ERROR = 0xfe,
    VECTOR_SPURIOUS = 0xff,
};

typedef void trap_handler(struct trap_frame *frame);

/* Sets the handler of an interrupt vector (32 and above). It runs with interrupts off; the end of
 * interrupt is sent after it returns, then the thread may be preempted.
 * Context: before the interrupt can fire. */
void trap_register_handler(unsigned vector, trap_handler *handler);

/* Builds the table (once, boot CPU) and loads it (each CPU). */
void traps_initialize(void);
void traps_load(void);

/* Chooses the sync entry stub of the APIC mode; apic_initialize() only. */
void traps_set_sync_entry(void (*entry)(void));

/* Called by trap_entry.asm. */
void trap_dispatch(struct trap_frame *frame);
