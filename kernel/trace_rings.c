// SPDX-License-Identifier: MIT
/* Allocation of the tracer's rings; see trace_rings.h. Invariant: a set of rings is in force,
 * reserved, put aside, or empty; page_free_run() gets each ring once. */
#include "kernel/trace_rings.h"

#include "arch/ipi.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/page_allocator.h"
#include "kernel/thread.h"
#include "patching/trace_ring.h"

/* Rings of all CPUs that are not in force. */
struct ring_set {
    uint64_t records; /* a CPU; 0: no rings */
    struct trace_ring_contents rings[CPU_MAX];
};

static uint64_t records; /* a CPU, of those in force */
static struct ring_set reserved;
static struct ring_set aside;

static size_t ring_pages(uint64_t count)
{
    return count * sizeof(struct trace_event) / PAGE_SIZE;
}

uint64_t trace_rings_records(void)
{
    return records;
}

bool trace_rings_stop(unsigned *silent)
{
    unsigned sent;

    trace_recording_set(false);
    /* A full barrier on each CPU: see trace_rings_are_idle(). */
    if (!sync_cores_try(&sent, silent)) {
        return false;
    }
    while (!trace_rings_are_idle()) {
        thread_sleep_ns(1000000); /* a thread was preempted there */
    }
    return true;
}

/* Those of @set are in force, and @set has those that were. */
static void set_exchange(struct ring_set *set)
{
    uint64_t before = records;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        trace_ring_exchange(cpu, &set->rings[cpu]);
    }
    records = set->records;
    set->records = before;
}

static void set_free(struct ring_set *set)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct trace_ring_contents *ring = &set->rings[cpu];

        if (ring->events != NULL) {
            page_free_run(virtual_to_physical(ring->events), ring_pages(set->records));
        }
        *ring = (struct trace_ring_contents){0};
    }
    set->records = 0;
}

bool trace_rings_reserve(uint64_t count)
{
    if (count == records) {
        return true;
    }
    reserved.records = count;
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        uint64_t frame = page_allocate_run(ring_pages(count));

        if (frame == 0) {
            set_free(&reserved);
            return false;
        }
        reserved.rings[cpu] = (struct trace_ring_contents){physical_to_virtual(frame), count, 0};
    }
    return true;
}

void trace_rings_unreserve(void)
{
    set_free(&reserved);
}

void trace_rings_begin(void)
{
    if (reserved.records != 0) {
        set_exchange(&reserved);
        set_free(&reserved);
    }
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct trace_ring_contents ring = {0};

        trace_ring_exchange(cpu, &ring);
        trace_ring_set(cpu, ring.events, ring.count);
    }
}

bool trace_rings_open(uint64_t count)
{
    bool has_memory = trace_rings_reserve(count);

    if (has_memory) {
        trace_rings_begin();
    }
    return has_memory;
}

bool trace_rings_free(unsigned *silent)
{
    bool stopped = trace_rings_stop(silent);

    if (stopped) {
        set_exchange(&reserved); /* nothing is reserved */
        set_free(&reserved);
    }
    return stopped;
}

bool trace_rings_put_aside(unsigned *silent)
{
    bool stopped = trace_rings_stop(silent);

    if (stopped) {
        set_exchange(&aside);
    }
    return stopped;
}

void trace_rings_put_back(void)
{
    unsigned silent;

    while (!trace_rings_stop(&silent)) {
        thread_yield(); /* each try is logged */
    }
    set_exchange(&aside);
    set_free(&aside);
}
