// SPDX-License-Identifier: MIT
/* KVM's clock; see kvm_clock.h. Invariants: the memory that the host writes stays put: it is part
 * of the image; a time that was told is in the told_ns of its CPU, or newest_ns, before the caller
 * has it.
 *
 * The host may say that the clocks of all CPUs agree, and take that back. From then on all CPUs are
 * held together by newest_ns, which begins at the newest time that any CPU was told:
 *
 *     CPU that sees them agree              CPU that sees that they do not
 *     told_ns = its time                    they_disagree = true       (both full barriers)
 *     they_disagree?  raise to newest_ns    newest_ns = largest told_ns
 *
 * One of the two sees the other. Until one CPU has finished that, each does it for itself. */
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

static struct {
    uint64_t told_ns; /* newest that this CPU was told while they agreed; atomic */
} __attribute__((aligned(64))) told[CPU_MAX];

static uint64_t offset_ns;              /* written while nobody reads the clock */
static bool they_disagree;              /* atomic; both once per use of the clock */
static bool newest_is_complete;         /* atomic: newest_ns is above every told_ns */
static _Alignas(64) uint64_t newest_ns; /* any CPU was told, since they disagree */

void kvm_clock_start(void)
{
    struct pvclock *clock = &pages[cpu_index()].clock;

    *clock = (struct pvclock){0}; /* what the host wrote when it was last told to */
    write_msr(MSR_KVM_SYSTEM_TIME, virtual_to_physical(clock) | MSR_KVM_ENABLE);
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

/* Raises *@newest to @ns, or @ns to *@newest. A full barrier if it writes. */
static uint64_t time_raise(uint64_t *newest, uint64_t ns)
{
    uint64_t found = __atomic_load_n(newest, __ATOMIC_RELAXED);

    /* One word, whose values all CPUs see in one order. Sequentially consistent: see above. */
    while (found < ns) {
        if (__atomic_compare_exchange_n(newest, &found, ns, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_RELAXED)) {
            return ns;
        }
    }
    return found;
}

/* Raises @ns to what any CPU was told before. */
static uint64_t above_all_cpus(uint64_t ns)
{
    /* Acquire; partner: the release below: who finds it complete finds newest_ns so. */
    if (!__atomic_load_n(&newest_is_complete, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&they_disagree, true, __ATOMIC_SEQ_CST);
        for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
            time_raise(&newest_ns, __atomic_load_n(&told[cpu].told_ns, __ATOMIC_SEQ_CST));
        }
        __atomic_store_n(&newest_is_complete, true, __ATOMIC_RELEASE);
    }
    return time_raise(&newest_ns, ns);
}

/* Tells a time on which the CPUs agree. */
static uint64_t above_own(uint64_t ns)
{
    uint64_t told_ns = time_raise(&told[cpu_index()].told_ns, ns);

    return __atomic_load_n(&they_disagree, __ATOMIC_SEQ_CST) ? above_all_cpus(told_ns) : told_ns;
}

/* Time without the offset. A host that never ends a writing stops the clock, not this CPU: the
 * newest time that any CPU was told is told again. */
static uint64_t kvm_host_ns(void)
{
    struct pvclock copy;
    uint64_t tsc;

    for (unsigned readings = 0; !kvm_read_once(&copy, &tsc); readings++) {
        if (readings == READINGS_MAX) {
            return above_all_cpus(0);
        }
        cpu_relax();
    }
    if (kvm_has(KVM_CLOCK_STABLE) && (copy.flags & PVCLOCK_CPUS_AGREE) != 0) {
        return above_own(pvclock_ns(&copy, tsc));
    }
    return above_all_cpus(pvclock_ns(&copy, tsc));
}

/* What was told while this clock was the source before says nothing about the time from now on. */
void kvm_clock_continue_from(uint64_t ns)
{
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        told[cpu].told_ns = 0;
    }
    they_disagree = false;
    newest_is_complete = false;
    newest_ns = 0;
    offset_ns = ns - kvm_host_ns();
}

uint64_t kvm_clock_read(void)
{
    return clock_floor_apply(kvm_host_ns() + offset_ns);
}
