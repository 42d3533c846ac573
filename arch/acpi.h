// SPDX-License-Identifier: MIT
/* What the ACPI tables say that the kernel needs: CPUs, APICs, overrides, HPET, ECAM. Invariant:
 * read once at boot; every table is checked (signature, length, checksum) before a field is
 * believed; a machine without tables has one CPU and the PC's default addresses. Callers: boot
 * order, apic.c, ioapic.c, clock.c, drivers/pci_access.c. */
#pragma once

#include "boot/boot_facts.h"

#include <stdbool.h>
#include <stdint.h>

#define ACPI_IOAPIC_MAX   8
#define ACPI_OVERRIDE_MAX 16

struct acpi_ioapic {
    uint64_t address;
    uint32_t first_line; /* global system interrupt of its pin 0 */
};

struct acpi_override {
    uint32_t isa_line;
    uint32_t global_line;
    uint16_t flags; /* MPS INTI flags: polarity bits 0-1, trigger bits 2-3 */
};

struct acpi_facts {
    bool found;
    uint64_t local_apic_address;
    unsigned ioapic_count;
    struct acpi_ioapic ioapics[ACPI_IOAPIC_MAX];
    unsigned override_count;
    struct acpi_override overrides[ACPI_OVERRIDE_MAX];
    uint64_t hpet_address; /* 0: none */
    /* PCI configuration space of segment 0 in memory: 1 MiB for each bus, these buses only. */
    uint64_t ecam_address; /* of bus 0, even if that is not among them; 0: none */
    uint8_t ecam_first_bus, ecam_last_bus;
};

/* Finds and reads the tables; adds every usable CPU by cpu_add(). Context: after
 * paging_initialize(). */
void acpi_initialize(const struct boot_facts *facts);

const struct acpi_facts *acpi_facts(void);
