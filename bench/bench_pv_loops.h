// SPDX-License-Identifier: MIT
/* Loops around paravirt ops, for `bench pv`: for each row one whose ops are sites, which a change
 * of form patches, and one built from the native instructions themselves. Invariant: both are made
 * by one macro from one text, and the native copy by the same calling macro, with the table's
 * instruction where a site would stand. Callers: bench_pv_measure.c. */
#pragma once

#include "arch/paravirt_table.h"

#include <stdint.h>

/* Makes so many passes. Context: thread, interrupts off, preemption off; they may be on meanwhile,
 * where a row restores them. */
typedef void pv_loop(uint64_t passes);

enum { PV_LOOP_OPS_MAX = 4 };

struct pv_loop_row {
    const char *name;
    pv_loop *patched; /* of sites */
    pv_loop *native;  /* the copy without */
    unsigned op_count;
    enum paravirt_op_id ops[PV_LOOP_OPS_MAX]; /* that one pass executes, each once */
};

enum {
    PV_LOOP_LOCK_PAIR, /* a free lock's ticket drawn and served */
    PV_LOOP_LOCK_SAVE, /* spinlock_lock_save() and spinlock_unlock_restore() */
    PV_LOOP_IRQ_SAVE,
    PV_LOOP_IRQ_DISABLE,
    PV_LOOP_IRQ_ENABLE_DISABLE,
    PV_LOOP_IRQ_SAVE_RESTORE, /* save, disable, restore */
    PV_LOOP_LOCK_KICK,
    PV_LOOP_TLB_FLUSH_PAGE,
    PV_LOOP_EOI,
    PV_LOOP_CLOCK_READ,
    PV_LOOP_COUNT
};
extern const struct pv_loop_row pv_loops[PV_LOOP_COUNT];

/* The loop alone: what all rows have in common. */
pv_loop pv_loop_nothing;

/* The native copy that is right on this machine: in x2APIC mode interrupts end otherwise. */
pv_loop *pv_loop_native(const struct pv_loop_row *row);
