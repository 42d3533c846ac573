// SPDX-License-Identifier: MIT
/* Readers of single ACPI tables, whose checksum acpi.c has checked. */
#pragma once

#include "arch/acpi.h"

/* What every table begins with. */
struct __attribute__((packed)) acpi_table {
    char signature[4];
    uint32_t length; /* of the whole table */
    uint8_t revision;
    uint8_t checksum;
    char oem[6];
    char oem_table[8];
    uint32_t oem_revision;
    uint32_t creator;
    uint32_t creator_revision;
};
_Static_assert(sizeof(struct acpi_table) == 36, "ACPI: system description table header");

void acpi_madt_read(const struct acpi_table *table, struct acpi_facts *facts);
void acpi_hpet_read(const struct acpi_table *table, struct acpi_facts *facts);
void acpi_mcfg_read(const struct acpi_table *table, struct acpi_facts *facts);
