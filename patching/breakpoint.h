// SPDX-License-Identifier: MIT
/* The #BP side of a batch in flight. Invariant: a CPU that runs into an int3 of ours executes the
 * NEW instruction by emulation (of a site that is last the OLD one; where there is a stand-in, by
 * a call of that), or goes back and fetches again; it never sees a batch that is being reused.
 * Called by: the #BP entry of the host (handle), the protocols (arm, disarm). breakpoint.c lies in
 * .text.nopatch whole: it calls nothing but nopatch functions of platform.h. */
#pragma once

#include "patching/histogram.h"
#include "patching/platform.h"
#include "patching/poke.h"

#include <stdbool.h>
#include <stdint.h>

/* The registers that an emulated instruction can read or change. */
struct patch_registers {
    uint64_t ip; /* on entry: behind the int3 */
    uint64_t sp;
    uint64_t flags; /* a comparison changes those that cmp changes */
    uint64_t ax;
};

/* Resolves a #BP taken at @registers->ip - 1.
 * Context: nopatch; #BP handler, interrupts off, NMI allowed, kernel mode only. Emulating a call
 * writes 8 bytes below @registers->sp: the entry code must have left that gap, and must return with
 * the sp found here afterwards (ret moves it up, call down).
 * Returns false if the int3 is not ours and still stands there. */
bool patch_breakpoint_handle(struct patch_registers *registers);

/* Makes @batch (checked, sorted, indexed) the one in flight; before the first int3 is written.
 * Context: patch lock held. Ordering: release, pairs with the handler's acquiring reference. */
void patch_breakpoint_arm(const struct patch_batch *batch);

/* Ends it and waits until every CPU has left the handler; after the last int3 is gone and synced.
 * Context: patch lock held, interrupts on. Ordering: acquire; afterwards the batch may
 * be reused. */
void patch_breakpoint_disarm(void);

/* One CPU's share, on cache lines of its own. */
struct patch_trap_cpu {
    /* 1 while a batch is in flight, + 1 for each handler that runs here: */
    _Alignas(64) uint32_t references;
    uint64_t emulated; /* traps resolved by emulation */
    uint64_t retried;  /* traps whose int3 was gone when the handler looked */
    _Alignas(64) struct histogram handler_ticks; /* one sample per emulated trap */
};
extern struct patch_trap_cpu patch_trap_cpus[PATCH_CPU_MAX];
