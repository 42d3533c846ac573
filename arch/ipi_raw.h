// SPDX-License-Identifier: MIT
/* Register access of the local APIC. Invariant: .text.nopatch and lock-free, so that a panic can
 * still stop the other CPUs. For apic.c, ipi.c and nmi.c; of the benches
 * one needs the address below. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum apic_register {
    APIC_ID = 0x20,
    APIC_TASK_PRIORITY = 0x80,
    APIC_END_OF_INTERRUPT = 0xb0,
    APIC_SPURIOUS = 0xf0,
    APIC_ERROR_STATUS = 0x280,
    APIC_COMMAND = 0x300,
    APIC_COMMAND_HIGH = 0x310, /* xAPIC only: destination in bits 24-31 */
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_INITIAL = 0x380,
    APIC_TIMER_CURRENT = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

/* Low word of the command register. */
#define COMMAND_NMI     (4u << 8)
#define COMMAND_INIT    (5u << 8)
#define COMMAND_STARTUP (6u << 8)
#define COMMAND_PENDING (1u << 12)
#define COMMAND_ASSERT  (1u << 14)
#define COMMAND_OTHERS  (3u << 18) /* shorthand: all but this CPU */

/* Chooses the access: MMIO at @registers, or MSRs if NULL. apic_initialize() only. */
void apic_raw_initialize(volatile void *registers);

uint32_t apic_raw_read(enum apic_register which);
void apic_raw_write(enum apic_register which, uint32_t value);

/* Sends what @command says to the CPU with @apic_id (ignored with a shorthand).
 * Ordering: all earlier stores are visible to the target before the interrupt. */
void apic_raw_send(uint32_t apic_id, uint32_t command);

/* Address of the xAPIC's end-of-interrupt register; of no meaning in x2APIC mode. */
extern uint64_t apic_end_of_interrupt_register;
