// SPDX-License-Identifier: MIT
/* What the layer `counted` has counted: calls and times of each paravirt op on each CPU, and of the
 * spinlocks by name. Invariant: counts are exact: each call that has returned is counted once; an
 * op that has not returned is not counted yet (a CPU that halts). They stay when the layer is taken
 * off. Called by: commands_pv_stats.c, tests/kernel.
 *
 * Times are TSC ticks from before the call of what is below to behind it, with the price of reading
 * the TSC (and, under a hypervisor, of what it does meanwhile). An op that lets interrupts in
 * (irq_enable, irq_restore) includes those that came at once, and whom they let run; safe_halt is
 * the time halted, with the interrupt that ended it. */
#pragma once

#include "arch/paravirt_table.h"
#include "kernel/paravirt_counted_cells.h"
#include "patching/histogram.h"

#include <stdbool.h>
#include <stdint.h>

struct paravirt_counts {
    uint64_t ticks;         /* sum */
    struct histogram times; /* ticks; its count is the number of calls */
};

/* Adds what @op did on the CPUs from @first to below @end to *@counts; nothing where nothing was
 * ever counted. A call that ends meanwhile may be in one figure and not yet in another.
 * Context: thread. */
void paravirt_counted_add(enum paravirt_op_id op, unsigned first, unsigned end,
                          struct paravirt_counts *counts);

/* All locks of one name together, all CPUs together. Waits are counted when they end. */
struct paravirt_lock_counts {
    const char *name;
    uint64_t taken;     /* times released, to be exact */
    uint64_t contended; /* of them: somebody else had it */
    uint64_t waited_ticks;
    uint64_t longest_ticks;
};

enum { PARAVIRT_LOCK_ROWS = COUNTED_OTHERS + 1 };

/* Name of the row of all locks whose names found no place in the table. */
extern const char paravirt_lock_others[];

/* The names that were counted since the last clear: the longest waits first, then the most taken.
 * Returns how many rows. Context: thread. */
unsigned paravirt_counted_locks(struct paravirt_lock_counts rows[PARAVIRT_LOCK_ROWS]);

/* Begins all counts at 0 again. While no op is counted, gives their memory back, too. A call that
 * ends meanwhile may be left in one figure and lost in another. Context: thread. */
void paravirt_counted_clear(void);

/* Whether there is memory to count in: the layer was put on since it was last given back. */
bool paravirt_counted_has_memory(void);
