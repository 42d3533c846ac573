// SPDX-License-Identifier: MIT
/* See dynamic_memory.h. Invariant: each CPU's table begins a cache line: no CPU counts in
 * another's. Called by: dynamic_pass.c, tests/kernel. */
#include "kernel/dynamic_memory.h"

#include "kernel/heap.h"
#include "patching/dynamic_call.h"
#include "patching/platform.h"

static uint64_t refusals; /* atomic, relaxed: a count */

bool dynamic_memory_give(struct dynamic_call *call)
{
    uint32_t cpus = platform_cpu_count(); /* none comes later, and a table is two cache lines */
    struct dynamic_count *counts = heap_allocate(cpus * sizeof(*counts));

    if (counts == NULL) {
        __atomic_fetch_add(&refusals, 1, __ATOMIC_RELAXED);
        return false;
    }
    dynamic_call_give_memory(call, counts, cpus);
    return true;
}

uint64_t dynamic_memory_refusals(void)
{
    return __atomic_load_n(&refusals, __ATOMIC_RELAXED);
}
