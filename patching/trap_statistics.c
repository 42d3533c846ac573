// SPDX-License-Identifier: MIT
/* Sums over the handler's per-CPU counts; apart from breakpoint.c because this is ordinary text.
 * Invariant: only reads, but for the reset of the times. Called by: poke.c, benches, shell. */
#include "patching/trap_statistics.h"

#include "patching/breakpoint.h"
#include "patching/platform.h"

/* Relaxed: exact after patch_breakpoint_disarm(), whose acquire pairs with the
 * handler's release. */
uint64_t patch_traps_emulated(unsigned cpu)
{
    return __atomic_load_n(&patch_trap_cpus[cpu].emulated, __ATOMIC_RELAXED);
}

uint64_t patch_traps_retried(unsigned cpu)
{
    return __atomic_load_n(&patch_trap_cpus[cpu].retried, __ATOMIC_RELAXED);
}

uint64_t patch_traps_emulated_total(void)
{
    uint64_t total = 0;

    for (unsigned cpu = 0; cpu < platform_cpu_possible(); cpu++) {
        total += patch_traps_emulated(cpu);
    }
    return total;
}

void patch_trap_times_merge(struct histogram *into)
{
    for (unsigned cpu = 0; cpu < platform_cpu_possible(); cpu++) {
        histogram_merge(into, &patch_trap_cpus[cpu].handler_ticks);
    }
}

void patch_trap_times_reset(void)
{
    for (unsigned cpu = 0; cpu < platform_cpu_possible(); cpu++) {
        histogram_reset(&patch_trap_cpus[cpu].handler_ticks);
    }
}
