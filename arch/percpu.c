// SPDX-License-Identifier: MIT
/* The list of CPUs; see percpu.h. Invariant: entries are only ever added, at boot, by the boot CPU.
 */

#include "arch/percpu.h"

#include "arch/descriptors.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "arch/stacks.h"
#include "kernel/page_allocator.h"

struct cpu *cpus[CPU_MAX + 1];
unsigned cpus_present;
unsigned cpus_online;

static struct cpu boot_cpu;

static uint32_t boot_apic_id(void)
{
    struct cpuid_result result;

    cpuid(0, 0, &result);
    if (result.eax >= 0x0b) {
        cpuid(0x0b, 0, &result);
        if (result.ebx != 0) {
            return result.edx;
        }
    }
    cpuid(1, 0, &result);
    return result.ebx >> 24;
}

void cpu_initialize_boot(void)
{
    boot_cpu.self = &boot_cpu;
    boot_cpu.apic_id = boot_apic_id();
    boot_cpu.state = CPU_ONLINE;
    boot_cpu.stack_top = stack_boot_top(STACK_OF_INTERRUPTED);
    for (unsigned stack = STACK_NMI; stack <= STACK_MACHINE_CHECK; stack++) {
        boot_cpu.tss.interrupt_stack[stack - 1] = stack_boot_top(stack);
    }
    cpus[0] = &boot_cpu;
    cpus_present = 1;
    cpus_online = 1;
    descriptors_load(&boot_cpu);
}

struct cpu *cpu_add(uint32_t apic_id)
{
    uint64_t frame;
    struct cpu *cpu;

    for (unsigned i = 0; i < cpus_present; i++) {
        if (cpus[i]->apic_id == apic_id) {
            return cpus[i];
        }
    }
    frame = cpus_present < CPU_MAX ? page_allocate() : 0;
    if (frame == 0) {
        return NULL;
    }
    cpu = physical_to_virtual(frame);
    cpu->self = cpu;
    cpu->index = cpus_present;
    cpu->apic_id = apic_id;
    cpu->state = CPU_PRESENT;
    cpus[cpus_present++] = cpu;
    return cpu;
}

static void stacks_give_back(struct cpu *cpu)
{
    for (unsigned stack = STACK_NMI; stack <= STACK_MACHINE_CHECK; stack++) {
        if (cpu->tss.interrupt_stack[stack - 1] != 0) {
            stack_free(cpu->tss.interrupt_stack[stack - 1]);
        }
        cpu->tss.interrupt_stack[stack - 1] = 0;
    }
    if (cpu->stack_top != 0) {
        stack_free(cpu->stack_top);
    }
    cpu->stack_top = 0;
}

bool cpu_allocate_stacks(struct cpu *cpu)
{
    for (unsigned stack = STACK_NMI; stack <= STACK_MACHINE_CHECK; stack++) {
        cpu->tss.interrupt_stack[stack - 1] = stack_allocate();
    }
    cpu->stack_top = stack_allocate();
    bool complete = cpu->stack_top != 0;
    for (unsigned stack = STACK_NMI; stack <= STACK_MACHINE_CHECK; stack++) {
        complete = complete && cpu->tss.interrupt_stack[stack - 1] != 0;
    }
    if (!complete) {
        stacks_give_back(cpu);
    }
    return complete;
}

bool cpu_set_online(struct cpu *cpu)
{
    uint32_t expected = CPU_STARTING;

    /* Release: pairs with the acquire in cpu_is_online(); without it another CPU could send an IPI
     * to tables that are not loaded yet. */
    if (!__atomic_compare_exchange_n(&cpu->state, &expected, CPU_ONLINE, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED)) {
        return false;
    }
    __atomic_fetch_add(&cpus_online, 1, __ATOMIC_RELEASE);
    return true;
}

static uint64_t sum(const uint64_t *counts)
{
    uint64_t total = 0;

    for (unsigned kind = 0; kind < IPI_KINDS; kind++) {
        total += __atomic_load_n(&counts[kind], __ATOMIC_RELAXED);
    }
    return total;
}

uint64_t cpu_ipis_sent(const struct cpu *cpu)
{
    return sum(cpu->counters.ipis_sent);
}

uint64_t cpu_ipis_received(const struct cpu *cpu)
{
    return sum(cpu->counters.ipis_received);
}
