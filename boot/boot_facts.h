// SPDX-License-Identifier: MIT
/* What the boot loader told, copied out of its memory. Invariant: memory regions are sorted, do not
 * overlap and are page aligned (usable ones shrunk, others grown); nothing points into loader
 * memory. Written by boot_main(), read by every initialiser. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define BOOT_REGION_MAX       256
#define BOOT_COMMAND_LINE_MAX 4096 /* its end included; see COMMAND_LINE_MAX */
#define BOOT_LOADER_NAME_MAX  64
#define BOOT_RSDP_MAX         36

/* From best to worst. */
enum boot_region_kind { REGION_USABLE, REGION_RESERVED, REGION_ACPI, REGION_BAD };

struct boot_region {
    uint64_t start; /* physical, page aligned */
    uint64_t end;   /* first byte after it */
    enum boot_region_kind kind;
};

enum boot_protocol { BOOT_MULTIBOOT1 = 1, BOOT_MULTIBOOT2 = 2 };

struct boot_facts {
    enum boot_protocol protocol;
    const char *firmware; /* "BIOS" or "UEFI" */
    char loader[BOOT_LOADER_NAME_MAX];
    char command_line[BOOT_COMMAND_LINE_MAX];
    bool command_line_truncated; /* command_line_initialize() warns */
    unsigned region_count;
    struct boot_region regions[BOOT_REGION_MAX];
    unsigned regions_dropped; /* did not fit: memory lost, not harm */
    uint32_t rsdp_length;     /* 0: the loader gave none; acpi.c searches the BIOS areas */
    uint8_t rsdp[BOOT_RSDP_MAX];
};

/* The one and only; valid once kernel_main() runs. */
const struct boot_facts *boot_facts(void);
