// SPDX-License-Identifier: MIT
/* Interrupt vectors of devices: handed out, each with a handler and its argument. Invariant: a
 * vector belongs to one owner until the machine ends. Callers: drivers/pci_interrupts.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define INTERRUPT_VECTOR_FIRST 0x40u
#define INTERRUPT_VECTOR_LAST  0xdfu

/* Gives out a free vector whose interrupts call handler(argument), on whatever CPU they arrive.
 * Returns 0 if none is left. Context: thread. */
unsigned interrupt_vector_allocate(void (*handler)(void *argument), void *argument);

/* What a device writes where, to raise @vector on @cpu ("Message Signalled Interrupts", Intel SDM
 * volume 3). */
uint64_t interrupt_message_address(unsigned cpu);
uint32_t interrupt_message_data(unsigned vector);
