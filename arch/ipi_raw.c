// SPDX-License-Identifier: MIT
/* Register access of the local APIC; see ipi_raw.h. Invariant: .text.nopatch. */

#include "arch/ipi_raw.h"

#include "arch/instructions.h"

#include <stddef.h>

static volatile uint8_t *registers; /* NULL: x2APIC */

/* Address of the xAPIC's end-of-interrupt register, for sync_entry_xapic in entry.asm. */
uint64_t apic_end_of_interrupt_register;

void apic_raw_initialize(volatile void *mapped)
{
    registers = mapped;
    apic_end_of_interrupt_register = (uint64_t)mapped + APIC_END_OF_INTERRUPT;
}

static uint32_t msr_of(enum apic_register which)
{
    return MSR_X2APIC_BASE + ((uint32_t)which >> 4);
}

uint32_t apic_raw_read(enum apic_register which)
{
    if (registers == NULL) {
        return (uint32_t)read_msr(msr_of(which));
    }
    return *(volatile uint32_t *)(registers + which);
}

void apic_raw_write(enum apic_register which, uint32_t value)
{
    if (registers == NULL) {
        write_msr(msr_of(which), value);
    } else {
        *(volatile uint32_t *)(registers + which) = value;
    }
}

void apic_raw_send(uint32_t apic_id, uint32_t command)
{
    uint64_t flags;

    if (registers == NULL) {
        /* WRMSR to an x2APIC register orders nothing (SDM volume 3, "MSR Access in x2APIC Mode"):
         * without the fences the target could take the interrupt and miss what it announces. */
        __asm__ volatile("mfence; lfence" ::: "memory");
        write_msr(msr_of(APIC_COMMAND), (uint64_t)apic_id << 32 | command);
        return;
    }
    flags = raw_interrupts_save(); /* an interrupt between the two writes could send its own */
    while (apic_raw_read(APIC_COMMAND) & COMMAND_PENDING) {
        cpu_relax();
    }
    if (!(command & COMMAND_OTHERS)) {
        apic_raw_write(APIC_COMMAND_HIGH, apic_id << 24);
    }
    apic_raw_write(APIC_COMMAND, command); /* uncached: after all earlier stores */
    raw_interrupts_restore(flags);
}
