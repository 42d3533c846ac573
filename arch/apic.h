// SPDX-License-Identifier: MIT
/* Local APIC and IOAPIC. Invariant: one mode (x2APIC where CPUID offers it, else xAPIC) on all
 * CPUs; counting of IPIs is not done here but in arch/ipi.h, which everyone else uses. Callers:
 * ipi.c, smp_start.c, the scheduler's timer, drivers (ioapic_route). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Finds the mode, maps the registers, masks the 8259s, enables the boot CPU's APIC, finds the
 * IOAPICs. Context: after acpi_initialize(). */
void apic_initialize(void);

/* Enables the APIC of the CPU it runs on. */
void apic_enable_cpu(void);

/* "xapic" or "x2apic". */
const char *apic_mode_name(void);

/* Raw sends; @vector as in arch/traps.h. Context: any. */
void apic_send_ipi(unsigned cpu, unsigned vector);
void apic_broadcast_ipi(unsigned vector);

/* Interrupts this CPU with @vector as soon as its interrupts are on. Not counted with the IPIs
 * between CPUs (arch/ipi.h): nobody but the sender receives it, and two that are pending merge.
 * Context: any but NMI; after apic_enable_cpu(). */
void apic_interrupt_self(unsigned vector);

/* Start-up of application processors; boot/smp_start.c only. */
void apic_send_init(uint32_t apic_id);
void apic_send_startup(uint32_t apic_id, uint64_t physical_page);

void apic_end_of_interrupt(void);

/* One-shot timer of this CPU: VECTOR_TIMER fires once, @ns from now; early if the counter cannot
 * hold that much, so a handler looks at the clock and arms again. Arming again replaces the earlier
 * shot. Context: interrupts off or preemption off. */
void apic_timer_arm_ns(uint64_t ns);
void apic_timer_stop(void);

/* Measures the timer against the TSC (2 ms, unless the CPU has TSC deadline). After
 * clock_initialize(). */
void apic_timer_initialize(void);

/* Routes ISA interrupt @line (MADT overrides applied) to @vector on @cpu and unmasks it. Returns
 * false, and logs it, if no IOAPIC has that line. */
bool ioapic_route(unsigned line, unsigned vector, unsigned cpu);
void ioapic_mask(unsigned line);

/* The same for a PCI interrupt, @line as the firmware has put it into the device's line register:
 * level-triggered whatever the override says, and low unless the override of that line says high.
 * Refuses, and logs it, a line that is unmasked already: someone else's. */
bool ioapic_route_level(unsigned line, unsigned vector, unsigned cpu);

/* Called by apic_initialize(): maps the IOAPICs of the MADT and masks every line. */
void ioapic_initialize(void);
