// SPDX-License-Identifier: MIT
/* Allocation of the tracer's rings; see trace_rings.h. */
#include "kernel/trace_rings.h"

#include "arch/ipi.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/page_allocator.h"
#include "kernel/thread.h"
#include "patching/trace_ring.h"

static uint64_t records; /* a CPU */
static uint64_t frames[CPU_MAX];

static size_t ring_pages(void)
{
    return records * sizeof(struct trace_event) / PAGE_SIZE;
}

uint64_t trace_rings_records(void)
{
    return records;
}

void trace_rings_stop(void)
{
    trace_recording_set(false);
    sync_cores_others(); /* a full barrier on each CPU: see trace_rings_are_idle() */
    while (!trace_rings_are_idle()) {
        thread_sleep_ns(1000000); /* a thread was preempted there */
    }
}

void trace_rings_free(void)
{
    trace_rings_stop();
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (frames[cpu] != 0) {
            trace_ring_set(cpu, NULL, 0);
            page_free_run(frames[cpu], ring_pages());
            frames[cpu] = 0;
        }
    }
    records = 0;
}

bool trace_rings_open(uint64_t count)
{
    if (records != count) {
        trace_rings_free();
        records = count;
    } else {
        trace_rings_stop();
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (frames[cpu] == 0) {
            frames[cpu] = page_allocate_run(ring_pages());
        }
        if (frames[cpu] == 0) {
            trace_rings_free();
            return false;
        }
        trace_ring_set(cpu, physical_to_virtual(frames[cpu]), records);
    }
    return true;
}
