// SPDX-License-Identifier: MIT
/* Reading what the loader left ("Multiboot Specification", versions 0.6.96 and 2.0). Invariant: the
 * early direct map (4 GiB) reaches all of it; nothing is trusted to be terminated or to fit.
 * Caller: boot_main(). */
#pragma once

#include "boot/boot_facts.h"

#include <stddef.h>

#define MULTIBOOT1_LOADED 0x2badb002u
#define MULTIBOOT2_LOADED 0x36d76289u

void multiboot1_read(uint64_t information, struct boot_facts *facts);
void multiboot2_read(uint64_t information, struct boot_facts *facts);

/* For the two readers. @kind as both specifications number it. */
void boot_region_add(struct boot_facts *facts, uint64_t start, uint64_t length, uint32_t kind);
void boot_command_line_set(struct boot_facts *facts, const char *text, size_t limit);
void boot_loader_set(struct boot_facts *facts, const char *text, size_t limit);

/* Makes facts->regions of all regions added: sorted, disjoint; where some overlap, the worst kind
 * counts. */
void boot_regions_normalize(struct boot_facts *facts);
