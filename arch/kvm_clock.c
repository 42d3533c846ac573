// SPDX-License-Identifier: MIT
/* KVM's clock; see kvm_clock.h. Invariant: the memory that the host writes stays put: it is part of
 * the image. */
#include "arch/kvm_clock.h"

#include "arch/clock_floor.h"
#include "arch/instructions.h"
#include "arch/kvm.h"
#include "arch/paging.h"
#include "arch/percpu.h"

#define MSR_KVM_SYSTEM_TIME 0x4b564d01u
#define MSR_KVM_ENABLE      1ull
/* The host writes while this CPU does not run: a second reading finds it done. */
#define READINGS_MAX 1000000u

/* A cache line each: the one the host writes for CPU n is read by no other. */
static struct {
    struct pvclock clock;
} __attribute__((aligned(64))) pages[CPU_MAX];

static uint64_t offset_ns;              /* written while nobody reads the clock */
static _Alignas(64) uint64_t newest_ns; /* any CPU was told, while they may disagree */

void kvm_clock_start(void)
{
    uint64_t address = virtual_to_physical(&pages[cpu_index()].clock);

    write_msr(MSR_KVM_SYSTEM_TIME, address | MSR_KVM_ENABLE);
}

void kvm_clock_stop(void)
{
    write_msr(MSR_KVM_SYSTEM_TIME, 0);
}

static uint32_t version_read(const struct pvclock *clock)
{
    /* Acquire: fields that are read behind it are not older. The host writes version, fields,
     * version; without the order, an old time could be taken together with a new TSC. */
    return __atomic_load_n(&clock->version, __ATOMIC_ACQUIRE);
}

bool kvm_clock_is_written(unsigned cpu)
{
    uint32_t version = version_read(&pages[cpu].clock);

    return version != 0 && (version & 1) == 0 && pages[cpu].clock.multiplier != 0;
}

/* One reading of this CPU's clock: how to turn the TSC into time, and a TSC that fits it. A thread
 * stays on its CPU (kernel/thread.h); if the host takes the CPU away meanwhile, or a handler runs,
 * the version says whether the reading holds. Returns false if it does not. */
static bool kvm_read_once(struct pvclock *copy, uint64_t *tsc)
{
    const struct pvclock *clock = &pages[cpu_index()].clock;
    uint32_t version = version_read(clock);

    *copy = *(const volatile struct pvclock *)clock;
    *tsc = read_tsc(); /* LFENCE: behind the loads above; a compiler barrier, too */
    __atomic_thread_fence(__ATOMIC_ACQUIRE); /* the second look is behind both */
    return (version & 1) == 0 && version_read(clock) == version;
}

/* Raises @ns to what any other CPU was told before. */
static uint64_t above_all_cpus(uint64_t ns)
{
    uint64_t newest = __atomic_load_n(&newest_ns, __ATOMIC_RELAXED);

    /* Relaxed: one word, whose values all CPUs see in one order. */
    while (newest < ns) {
        if (__atomic_compare_exchange_n(&newest_ns, &newest, ns, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            return ns;
        }
    }
    return newest;
}

/* Time without the offset. A host that never ends a writing stops the clock, not this CPU. */
static uint64_t kvm_host_ns(void)
{
    struct pvclock copy;
    uint64_t tsc;

    for (unsigned readings = 0; !kvm_read_once(&copy, &tsc); readings++) {
        if (readings == READINGS_MAX) {
            return __atomic_load_n(&newest_ns, __ATOMIC_RELAXED);
        }
        cpu_relax();
    }
    if (kvm_has(KVM_CLOCK_STABLE) && (copy.flags & PVCLOCK_CPUS_AGREE) != 0) {
        return pvclock_ns(&copy, tsc);
    }
    return above_all_cpus(pvclock_ns(&copy, tsc));
}

void kvm_clock_continue_from(uint64_t ns)
{
    offset_ns = ns - kvm_host_ns();
}

uint64_t kvm_clock_read(void)
{
    return clock_floor_apply(kvm_host_ns() + offset_ns);
}
