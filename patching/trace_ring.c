// SPDX-License-Identifier: MIT
/* The recorder of calls; see trace_ring.h. Invariant: .text.nopatch whole, so that recording a call
 * records no other; a slot is written only after a number that lies in it was claimed.
 *
 *     recorder                    an interrupt meanwhile     a reader of n
 *     claims n (one xadd)         claims n + 1, fills it     the slot's number is not n: not there
 *     the other words
 *     slot's number = n           (release)                  it is n (acquire): copies words
 *     claims n + size, ...                                   n + size is claimed: drops the copy
 *
 * Each ring is written by its own CPU alone, so one instruction is enough to claim a slot: no
 * interrupt splits it, and no lock prefix is needed. Were it a load, an add and a store, an
 * interrupt in between would write into the same slot.
 *
 * A recorder that is interrupted while a whole lap is written goes on writing into a slot that is
 * no longer its own. It leaves its old number there, so the newer event is lost, not mixed; but a
 * reader that comes in that very moment could take the mixture. Who wants none reads while
 * trace_rings_are_idle(). */
#include "patching/trace_ring.h"

#include "patching/instruction.h"
#include "patching/platform.h"

struct trace_ring {
    /* by its own CPU: */
    _Alignas(64) uint64_t claimed; /* number of the newest event */
    uint32_t inside;               /* contexts in trace_ring_add() */
    /* while nothing records: */
    struct trace_event *events;
    uint64_t count; /* a power of two; 0: no ring */
};

bool trace_recording; /* atomic; function_trace_entry.asm looks too */

static struct trace_ring rings[PATCH_CPU_MAX];

/* Adds 1 in one instruction of this CPU. Returns the sum. */
static inline uint64_t local_increment(uint64_t *counter)
{
    uint64_t before = 1;

    __asm__ volatile("xaddq %0, %1" : "+r"(before), "+m"(*counter)::"memory", "cc");
    return before + 1;
}

static inline void local_enter(struct trace_ring *ring)
{
    __asm__ volatile("incl %0" : "+m"(ring->inside)::"memory", "cc");
}

static inline void local_leave(struct trace_ring *ring)
{
    __asm__ volatile("decl %0" : "+m"(ring->inside)::"memory", "cc");
}

void trace_recording_set(bool on)
{
    __atomic_store_n(&trace_recording, on, __ATOMIC_SEQ_CST);
}

bool trace_is_recording(void)
{
    return __atomic_load_n(&trace_recording, __ATOMIC_ACQUIRE);
}

bool trace_rings_are_idle(void)
{
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        /* Acquire: whoever left has written its event. */
        if (__atomic_load_n(&rings[cpu].inside, __ATOMIC_ACQUIRE) != 0) {
            return false;
        }
    }
    return true;
}

void trace_ring_set(unsigned cpu, struct trace_event *events, uint64_t count)
{
    struct trace_ring *ring = &rings[cpu];

    for (uint64_t i = 0; i < count; i++) {
        events[i].sequence = 0;
    }
    ring->events = events;
    ring->count = count;
    ring->claimed = 0;
}

void trace_ring_exchange(unsigned cpu, struct trace_ring_contents *other)
{
    struct trace_ring *ring = &rings[cpu];
    struct trace_ring_contents before = {ring->events, ring->count, ring->claimed};

    ring->events = other->events;
    ring->count = other->count;
    ring->claimed = other->newest;
    *other = before;
}

/* Each store is a release: pairs with the loads in trace_ring_get(). Who reads one of these words
 * finds its number claimed; who reads the number finds the words. */
static inline void event_write(struct trace_event *slot, uint64_t sequence, uint64_t function,
                               uint64_t caller)
{
    __atomic_store_n(&slot->ticks, platform_time_ticks(), __ATOMIC_RELEASE);
    __atomic_store_n(&slot->function, function, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->caller, caller, __ATOMIC_RELEASE);
    __atomic_store_n(&slot->sequence, sequence, __ATOMIC_RELEASE);
}

void trace_ring_add(uint64_t behind_entry, uint64_t caller)
{
    struct trace_ring *ring = &rings[platform_cpu_index()];

    local_enter(ring);
    if (trace_is_recording() && ring->count != 0) {
        uint64_t sequence = local_increment(&ring->claimed);

        event_write(&ring->events[sequence & (ring->count - 1)], sequence,
                    behind_entry - INSN_CALL32_LENGTH, caller);
    }
    local_leave(ring);
}

uint64_t trace_ring_newest(unsigned cpu)
{
    return __atomic_load_n(&rings[cpu].claimed, __ATOMIC_ACQUIRE);
}

uint64_t trace_ring_size(unsigned cpu)
{
    return rings[cpu].count;
}

uint64_t trace_ring_overwritten(unsigned cpu)
{
    uint64_t newest = trace_ring_newest(cpu);

    return newest > rings[cpu].count ? newest - rings[cpu].count : 0;
}

bool trace_ring_get(unsigned cpu, uint64_t sequence, struct trace_event *event)
{
    const struct trace_ring *ring = &rings[cpu];

    if (ring->count == 0 || sequence == 0) {
        return false;
    }

    const struct trace_event *slot = &ring->events[sequence & (ring->count - 1)];

    event->sequence = __atomic_load_n(&slot->sequence, __ATOMIC_ACQUIRE);
    event->ticks = __atomic_load_n(&slot->ticks, __ATOMIC_ACQUIRE);
    event->function = __atomic_load_n(&slot->function, __ATOMIC_ACQUIRE);
    event->caller = __atomic_load_n(&slot->caller, __ATOMIC_ACQUIRE);
    return event->sequence == sequence && trace_ring_newest(cpu) - sequence < ring->count;
}
