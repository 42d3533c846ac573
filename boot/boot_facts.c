// SPDX-License-Identifier: MIT
/* Filling struct boot_facts, whatever the protocol; see multiboot.h and boot_facts.h for the
 * invariant. */

#include "boot/boot_facts.h"

#include "arch/paging.h"
#include "boot/multiboot.h"
#include "kernel/string.h"

enum loader_region_kind {
    LOADER_USABLE = 1,
    LOADER_ACPI = 3,
    LOADER_ACPI_KEEP = 4,
    LOADER_BAD = 5
};

/* As the loader told them: in any order, overlapping. */
static struct boot_region told[BOOT_REGION_MAX];
static unsigned told_count;

/* Copies at most @limit characters of @text; returns whether all of it fitted into @size. */
static bool text_copy(char *to, size_t size, const char *text, size_t limit)
{
    size_t length = 0;

    while (length < limit && text[length] != '\0') {
        if (length + 1 == size) {
            to[length] = '\0';
            return false;
        }
        to[length] = text[length];
        length++;
    }
    to[length] = '\0';
    return true;
}

void boot_command_line_set(struct boot_facts *facts, const char *text, size_t limit)
{
    facts->command_line_truncated =
        !text_copy(facts->command_line, sizeof(facts->command_line), text, limit);
}

void boot_loader_set(struct boot_facts *facts, const char *text, size_t limit)
{
    text_copy(facts->loader, sizeof(facts->loader), text, limit);
}

static enum boot_region_kind region_kind(uint32_t kind)
{
    switch (kind) {
    case LOADER_USABLE:
        return REGION_USABLE;
    case LOADER_ACPI:
    case LOADER_ACPI_KEEP:
        return REGION_ACPI;
    case LOADER_BAD:
        return REGION_BAD;
    default:
        return REGION_RESERVED;
    }
}

static uint64_t page_down(uint64_t address)
{
    return address & ~(PAGE_SIZE - 1);
}

static uint64_t page_up(uint64_t address)
{
    return page_down(address + PAGE_SIZE - 1);
}

void boot_region_add(struct boot_facts *facts, uint64_t start, uint64_t length, uint32_t kind)
{
    struct boot_region region = {start, start + length, region_kind(kind)};

    if (region.end < start || region.end > ~(PAGE_SIZE - 1)) {
        region.end = ~(PAGE_SIZE - 1);
    }
    if (region.kind == REGION_USABLE) {
        region.start = page_up(region.start);
        region.end = page_down(region.end);
    } else {
        region.start = page_down(region.start);
        region.end = page_up(region.end);
    }
    if (region.start >= region.end) {
        return;
    }
    if (told_count == BOOT_REGION_MAX) {
        facts->regions_dropped++;
        return;
    }
    told[told_count++] = region;
}

/* The lowest start or end above @address among the regions told, UINT64_MAX if none. */
static uint64_t boundary_above(uint64_t address)
{
    uint64_t next = UINT64_MAX;

    for (unsigned i = 0; i < told_count; i++) {
        if (told[i].start > address && told[i].start < next) {
            next = told[i].start;
        }
        if (told[i].end > address && told[i].end < next) {
            next = told[i].end;
        }
    }
    return next;
}

/* Sets @kind to the worst kind of the regions that contain @address; false if none does. */
static bool kind_at(uint64_t address, enum boot_region_kind *kind)
{
    bool found = false;

    *kind = REGION_USABLE;
    for (unsigned i = 0; i < told_count; i++) {
        if (told[i].start <= address && address < told[i].end) {
            *kind = told[i].kind > *kind ? told[i].kind : *kind;
            found = true;
        }
    }
    return found;
}

/* Adds [start, end) behind the last region, or to it. */
static void region_append(struct boot_facts *facts, struct boot_region region)
{
    struct boot_region *last = &facts->regions[facts->region_count - 1];

    if (facts->region_count != 0 && last->kind == region.kind && last->end == region.start) {
        last->end = region.end;
    } else if (facts->region_count == BOOT_REGION_MAX) {
        facts->regions_dropped++;
    } else {
        facts->regions[facts->region_count++] = region;
    }
}

void boot_regions_normalize(struct boot_facts *facts)
{
    uint64_t start = 0;
    uint64_t end;

    for (; (end = boundary_above(start)) != UINT64_MAX; start = end) {
        enum boot_region_kind kind;

        if (kind_at(start, &kind)) {
            region_append(facts, (struct boot_region){start, end, kind});
        }
    }
}
