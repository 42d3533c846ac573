// SPDX-License-Identifier: MIT
/* What pci_interrupts.c and pci_intx.c share: who is to be called. Invariant: a slot, once routed,
 * is never freed, because an interrupt may be on its way; releasing takes its handler away. */
#pragma once

#include "drivers/pci.h"

struct pci_interrupt_slot {
    pci_interrupt_handler *handler;          /* atomic; NULL: nobody, the interrupt is lost */
    void *argument;                          /* written before handler */
    unsigned vector;                         /* 0: not routed */
    struct pci_interrupt_slot *next_of_line; /* INTx: the others on the line */
};

/* Calls the slot's handler, if it has one. Returns whether the interrupt was its device's.
 * Context: interrupt. */
bool pci_interrupt_slot_call(const struct pci_interrupt_slot *slot);

/* Calls @slot for interrupts of the device's INTx line from now on. Returns false, having said why,
 * if there is no such line or no vector. Context: first thread. */
bool pci_intx_route(const struct pci_device *device, unsigned cpu, struct pci_interrupt_slot *slot);
