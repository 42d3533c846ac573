// SPDX-License-Identifier: MIT
/* Starting the application processors; see smp_start.h. Invariant: the state of a CPU moves from
 * STARTING to either ONLINE, by itself, or FAILED, by the boot CPU, in one atomic step: never both.
 *
 * All get INIT, then one wait, then all get SIPI, then one wait, then a second SIPI for those still
 * silent
 * ("MP Initialization Protocol", Intel SDM volume 3). */

#include "boot/smp_start.h"

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/descriptors.h"
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/ipi.h"
#include "arch/paging.h"
#include "arch/patience.h"
#include "arch/percpu.h"
#include "arch/traps.h"
#include "boot/boot_facts.h"
#include "kernel/log.h"
#include "kernel/main.h"
#include "kernel/page_allocator.h"
#include "kernel/string.h"
#include "patching/nopatch.h"

#define INIT_WAIT_NS      10000000ull
#define STARTUP_WAIT_NS   200000ull
#define PATIENCE_NS       3000000000ull /* without any new arrival */
#define TRAMPOLINE_LOWEST 0x1000u
#define TRAMPOLINE_LIMIT  0xa0000u
#define RESERVE_PAGES     256 /* 1 MiB that starting CPUs leave to everybody else */
#define COMPARE_SAMPLES   64

extern const char smp_trampoline[], smp_trampoline_end[]; /* smp_trampoline.asm */

PATCH_NO_ENTRY void smp_main(struct cpu *cpu); /* called by start.asm */

/* A usable page below 640 KiB, which the allocator leaves alone; 0 if there is none. */
static uint64_t trampoline_page_find(void)
{
    const struct boot_facts *facts = boot_facts();

    for (unsigned i = 0; i < facts->region_count; i++) {
        const struct boot_region *region = &facts->regions[i];
        uint64_t start = region->start > TRAMPOLINE_LOWEST ? region->start : TRAMPOLINE_LOWEST;

        if (region->kind == REGION_USABLE && start + PAGE_SIZE <= region->end &&
            start + PAGE_SIZE <= TRAMPOLINE_LIMIT) {
            return start;
        }
    }
    return 0;
}

PATCH_NO_ENTRY static bool is_starting(const struct cpu *cpu)
{
    return __atomic_load_n(&cpu->state, __ATOMIC_ACQUIRE) == CPU_STARTING;
}

/* Gives stacks to CPUs until @limit are online or starting. Returns the number that will start. */
static unsigned cpus_prepare(unsigned limit)
{
    unsigned starting = 0;

    for (unsigned i = 1; i < cpu_present_count() && starting + 1 < limit; i++) {
        struct cpu *cpu = cpu_by_index(i);

        if (page_count().free < RESERVE_PAGES || !cpu_allocate_stacks(cpu)) {
            log_error("cpus %u to %u: not enough memory for their stacks, not started", i,
                      cpu_present_count() - 1);
            break;
        }
        __atomic_store_n(&cpu->state, CPU_STARTING, __ATOMIC_RELEASE);
        starting++;
    }
    return starting;
}

/* Sends INIT or, with a page, SIPI to every CPU that has not come up yet. */
static void starting_cpus_send(uint64_t startup_page)
{
    for (unsigned i = 1; i < cpu_present_count(); i++) {
        const struct cpu *cpu = cpu_by_index(i);

        if (!is_starting(cpu)) {
            continue;
        }
        if (startup_page == 0) {
            apic_send_init(cpu->apic_id);
        } else {
            apic_send_startup(cpu->apic_id, startup_page);
        }
    }
}

/* Waits until @expected CPUs are online, or until none has arrived for @patience_ns. The waiting
 * CPU is the other end of the TSC comparison. */
static bool wait_online(unsigned expected, uint64_t patience_ns)
{
    unsigned seen = cpu_count();
    struct patience patience = patience_begin(clock_now_ns(), patience_ns);

    while (seen < expected) {
        unsigned now = cpu_count();

        if (now != seen) {
            seen = now;
            patience = patience_begin(clock_now_ns(), patience_ns);
        } else if (patience_spent(&patience, clock_now_ns()) > patience_ns) {
            return false;
        }
        clock_compare_sample(1);
        cpu_relax();
    }
    return true;
}

/* Names every CPU that has not come up, and makes sure that it never will. */
static void missing_cpus_give_up(void)
{
    for (unsigned i = 1; i < cpu_present_count(); i++) {
        struct cpu *cpu = cpu_by_index(i);
        uint32_t expected = CPU_STARTING;

        if (__atomic_compare_exchange_n(&cpu->state, &expected, CPU_FAILED, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_RELAXED)) {
            log_error("cpu %u (APIC id %u) did not start; going on without it", i, cpu->apic_id);
        }
    }
}

unsigned smp_start_all(unsigned limit)
{
    uint64_t page = trampoline_page_find();
    unsigned expected;

    if (limit == 0 || limit > cpu_present_count()) {
        limit = cpu_present_count();
    }
    if (limit > 1 && page == 0) {
        log_error("no usable page below 640 KiB to start other CPUs from: using 1 CPU");
        limit = 1;
    }
    if (limit == 1) {
        return cpu_count();
    }
    memcpy(physical_to_virtual(page), smp_trampoline,
           (size_t)(smp_trampoline_end - smp_trampoline));
    expected = 1 + cpus_prepare(limit);
    starting_cpus_send(0);
    clock_delay_ns(INIT_WAIT_NS);
    starting_cpus_send(page);
    if (!wait_online(expected, STARTUP_WAIT_NS)) {
        starting_cpus_send(page);
        wait_online(expected, PATIENCE_NS);
        missing_cpus_give_up();
    }
    return cpu_count();
}

PATCH_NO_ENTRY static _Noreturn void halt_for_ever(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}

/* First C line of an application processor, on its own stack, interrupts off. Until traps_load() it
 * can neither take a breakpoint nor record a call: no function up to there has an entry. Text may
 * change meanwhile only if this CPU was given up: then it runs none. */
void smp_main(struct cpu *cpu)
{
    if (!is_starting(cpu)) {
        halt_for_ever();
    }
    descriptors_load(cpu);
    traps_load();
    features_enable_cpu();
    apic_enable_cpu();
    clock_compare_sample(COMPARE_SAMPLES);
    if (!cpu_set_online(cpu)) {
        halt_for_ever();
    }
    sync_join();
    kernel_main_secondary();
}
