// SPDX-License-Identifier: MIT
/* A made-up machine with PCI for host tests: takes the place of drivers/pci_access.c, the log and
 * the page tables. Invariant: a register keeps the bits that can be written, as hardware does; a
 * BAR written while its device decodes is counted as a fault. Used by the drivers_pci_*.c tests. */
#pragma once

#include "drivers/pci.h"

struct fake_function {
    uint8_t bus, device, function;
    union {
        uint8_t bytes[256];
        uint16_t words[128];
        uint32_t longs[64];
    } config;
    uint32_t bar_writable[PCI_BAR_MAX]; /* bits of each */
};

/* An empty machine; forgets the log and the counts. */
void fake_pci_reset(void);

/* Adds a function with the header @kind (0: device, 1: bridge), vendor 0x1234, id 0x5678. */
struct fake_function *fake_pci_add(uint8_t bus, uint8_t device, uint8_t function, uint8_t kind);

/* Adds a bridge on @bus to bus @secondary. */
void fake_pci_add_bridge(uint8_t bus, uint8_t device, uint8_t secondary);

/* Puts a capability of 2 bytes at @at that leads to @next; the first of the list if @is_first. */
void fake_pci_add_capability(struct fake_function *function, uint8_t at, uint8_t id, uint8_t next,
                             bool is_first);

extern char fake_log[65536];
extern unsigned fake_faults;      /* BARs written while their device decodes */
extern unsigned fake_writes;      /* to configuration space */
extern unsigned fake_buses;       /* opened, every time counted */
extern unsigned fake_bus_refused; /* cannot be opened; 256: none */

/* What paging_map_device() was asked for last, and what it answers: memory, or NULL. */
extern uint64_t fake_mapped_address, fake_mapped_size;
extern void *fake_memory;
/* The physical address of that memory's first byte; 0: it is what stands at any address. */
extern uint64_t fake_memory_address;
