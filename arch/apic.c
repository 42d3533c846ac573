// SPDX-License-Identifier: MIT
/* Local APIC; see apic.h. Invariant: all CPUs use the mode that apic_initialize() chose. */

#include "arch/apic.h"

#include "arch/acpi.h"
#include "arch/clock.h"
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/ipi.h"
#include "arch/ipi_raw.h"
#include "arch/paging.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "arch/stop_cpus.h"
#include "arch/traps.h"
#include "kernel/log.h"
#include "kernel/panic.h"

#define APIC_BASE_X2APIC (1ull << 10)
#define APIC_BASE_ENABLE (1ull << 11)
#define SPURIOUS_ENABLE  (1u << 8)
#define LVT_NMI          (4u << 8)
#define LVT_MASKED       (1u << 16)
#define LVT_TSC_DEADLINE (2u << 17)
#define DIVIDE_BY_1      0x0bu
#define TIMER_MEASURE_NS 2000000ull

#define PIC1_COMMAND 0x20
#define PIC1_DATA    0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA    0xa1

extern void sync_entry_xapic(void), sync_entry_x2apic(void); /* entry.asm */

static bool is_x2apic;
static uint64_t timer_ticks_per_ns_shifted; /* 32 fraction bits; 0: TSC deadline */

const char *apic_mode_name(void)
{
    return is_x2apic ? "x2apic" : "xapic";
}

/* Moves the 8259s away from the exception vectors and masks them. */
static void pic_disable(void)
{
    out8(PIC1_COMMAND, 0x11); /* ICW1: edge, cascade, ICW4 follows */
    out8(PIC2_COMMAND, 0x11);
    out8(PIC1_DATA, VECTOR_PIC_BASE);
    out8(PIC2_DATA, VECTOR_PIC_BASE + 8);
    out8(PIC1_DATA, 4); /* ICW3: the second one is at line 2 */
    out8(PIC2_DATA, 2);
    out8(PIC1_DATA, 1); /* ICW4: 8086 mode */
    out8(PIC2_DATA, 1);
    out8(PIC1_DATA, 0xff);
    out8(PIC2_DATA, 0xff);
}

static void error_interrupt(struct trap_frame *frame)
{
    (void)frame;
    apic_raw_write(APIC_ERROR_STATUS, 0);
    log_error("cpu %u: APIC error status 0x%x", cpu_index(), apic_raw_read(APIC_ERROR_STATUS));
}

void apic_enable_cpu(void)
{
    uint64_t base = read_msr(MSR_APIC_BASE);

    if (!(base & APIC_BASE_ENABLE)) {
        write_msr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
    }
    if (is_x2apic && !(base & APIC_BASE_X2APIC)) {
        write_msr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2APIC);
    }
    apic_raw_write(APIC_TASK_PRIORITY, 0);
    apic_raw_write(APIC_LVT_LINT0, LVT_MASKED);
    apic_raw_write(APIC_LVT_LINT1, LVT_NMI);
    apic_raw_write(APIC_LVT_ERROR, VECTOR_ERROR);
    apic_raw_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    apic_raw_write(APIC_LVT_TIMER, feature_present(FEATURE_TSC_DEADLINE)
                                       ? VECTOR_TIMER | LVT_TSC_DEADLINE
                                       : VECTOR_TIMER);
    apic_raw_write(APIC_SPURIOUS, SPURIOUS_ENABLE | VECTOR_SPURIOUS);
    /* xAPIC: the mode change above must not be overtaken by a deadline write (SDM, "TSC-Deadline
     * Mode"). */
    __asm__ volatile("mfence" ::: "memory");
}

void apic_initialize(void)
{
    volatile void *registers = NULL;

    is_x2apic = feature_present(FEATURE_X2APIC);
    if (!is_x2apic) {
        registers = paging_map_device(acpi_facts()->local_apic_address, PAGE_SIZE);
        if (registers == NULL) {
            panic("apic: cannot map the registers");
        }
    }
    apic_raw_initialize(registers);
    if (is_x2apic) {
        paravirt_native_use_x2apic();
    }
    pic_disable();
    traps_set_sync_entry(is_x2apic ? sync_entry_x2apic : sync_entry_xapic);
    trap_register_handler(VECTOR_ERROR, error_interrupt);
    apic_enable_cpu();
    ioapic_initialize();
    ipi_initialize();
    stop_cpus_initialize();
}

void native_send_ipi(uint32_t cpu, uint32_t vector)
{
    apic_raw_send(cpus[cpu]->apic_id, COMMAND_ASSERT | vector);
}

void native_broadcast_ipi(uint32_t vector)
{
    unsigned self = cpu_index();

    if (cpu_count() == cpu_present_count()) {
        apic_raw_send(0, COMMAND_OTHERS | COMMAND_ASSERT | vector);
        return;
    }
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (i != self && cpu_is_online(cpus[i])) {
            native_send_ipi(i, vector);
        }
    }
}

void apic_send_ipi(unsigned cpu, unsigned vector)
{
    pv_send_ipi(cpu, vector);
}

void apic_broadcast_ipi(unsigned vector)
{
    pv_broadcast_ipi(vector);
}

void apic_interrupt_self(unsigned vector)
{
    pv_send_ipi(cpu_index(), vector);
}

void apic_send_init(uint32_t apic_id)
{
    apic_raw_send(apic_id, COMMAND_INIT | COMMAND_ASSERT);
}

void apic_send_startup(uint32_t apic_id, uint64_t physical_page)
{
    apic_raw_send(apic_id,
                  COMMAND_STARTUP | COMMAND_ASSERT | (uint32_t)(physical_page / PAGE_SIZE));
}

void apic_end_of_interrupt(void)
{
    pv_eoi(apic_end_of_interrupt_register);
}

void apic_timer_initialize(void)
{
    uint64_t start, ticks, passed;

    if (feature_present(FEATURE_TSC_DEADLINE)) {
        return;
    }
    apic_raw_write(APIC_LVT_TIMER, LVT_MASKED | VECTOR_TIMER);
    apic_raw_write(APIC_TIMER_INITIAL, UINT32_MAX);
    start = clock_now_ns();
    do {
        cpu_relax();
        passed = clock_now_ns() - start;
    } while (passed < TIMER_MEASURE_NS);
    ticks = UINT32_MAX - apic_raw_read(APIC_TIMER_CURRENT);
    passed = clock_now_ns() - start;
    apic_raw_write(APIC_TIMER_INITIAL, 0);
    apic_raw_write(APIC_LVT_TIMER, VECTOR_TIMER);
    timer_ticks_per_ns_shifted = (ticks << 32) / passed;
    log_debug("apic: timer runs at %llu kHz", (unsigned long long)(ticks * 1000000 / passed));
}

void apic_timer_arm_ns(uint64_t ns)
{
    unsigned __int128 ticks;

    if (feature_present(FEATURE_TSC_DEADLINE)) {
        write_msr(MSR_TSC_DEADLINE, read_tsc() + clock_ns_to_ticks(ns) + 1);
        return;
    }
    ticks = ((unsigned __int128)ns * timer_ticks_per_ns_shifted >> 32) + 1;
    apic_raw_write(APIC_TIMER_INITIAL, ticks < UINT32_MAX ? (uint32_t)ticks : UINT32_MAX);
}

void apic_timer_stop(void)
{
    if (feature_present(FEATURE_TSC_DEADLINE)) {
        write_msr(MSR_TSC_DEADLINE, 0);
    } else {
        apic_raw_write(APIC_TIMER_INITIAL, 0);
    }
}
