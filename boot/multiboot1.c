// SPDX-License-Identifier: MIT
/* Multiboot 1 information, as QEMU -kernel gives it; see multiboot.h. */

#include "arch/paging.h"
#include "boot/multiboot.h"
#include "kernel/string.h"

#define FLAG_MEMORY        (1u << 0)
#define FLAG_COMMAND_LINE  (1u << 2)
#define FLAG_MEMORY_MAP    (1u << 6)
#define FLAG_LOADER_NAME   (1u << 9)
#define KIB                1024ull
#define UPPER_MEMORY_START (1024 * KIB)
#define KIND_USABLE        1u

struct multiboot1_information {
    uint32_t flags;
    uint32_t memory_lower_kib, memory_upper_kib;
    uint32_t boot_device;
    uint32_t command_line;
    uint32_t module_count, modules;
    uint32_t symbols[4];
    uint32_t memory_map_length, memory_map;
    uint32_t drives_length, drives;
    uint32_t configuration;
    uint32_t loader_name;
};

struct __attribute__((packed)) memory_map_entry {
    uint32_t size; /* of the rest of this entry */
    uint64_t start;
    uint64_t length;
    uint32_t kind;
};

static void memory_map_read(const struct multiboot1_information *information,
                            struct boot_facts *facts)
{
    const uint8_t *map = physical_to_virtual(information->memory_map);
    uint32_t at = 0;

    while (at + sizeof(struct memory_map_entry) <= information->memory_map_length) {
        struct memory_map_entry entry;

        memcpy(&entry, map + at, sizeof(entry));
        boot_region_add(facts, entry.start, entry.length, entry.kind);
        at += entry.size + (uint32_t)sizeof(entry.size);
    }
}

void multiboot1_read(uint64_t physical, struct boot_facts *facts)
{
    const struct multiboot1_information *information = physical_to_virtual(physical);

    facts->protocol = BOOT_MULTIBOOT1;
    facts->firmware = "BIOS";
    if (information->flags & FLAG_COMMAND_LINE) {
        boot_command_line_set(facts, physical_to_virtual(information->command_line), SIZE_MAX);
    }
    if (information->flags & FLAG_LOADER_NAME) {
        boot_loader_set(facts, physical_to_virtual(information->loader_name), SIZE_MAX);
    }
    if (information->flags & FLAG_MEMORY_MAP) {
        memory_map_read(information, facts);
    } else if (information->flags & FLAG_MEMORY) {
        boot_region_add(facts, 0, information->memory_lower_kib * KIB, KIND_USABLE);
        boot_region_add(facts, UPPER_MEMORY_START, information->memory_upper_kib * KIB,
                        KIND_USABLE);
    }
}
