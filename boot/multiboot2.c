// SPDX-License-Identifier: MIT
/* Multiboot 2 information, as GRUB 2 gives it; see multiboot.h. */

#include "arch/paging.h"
#include "boot/multiboot.h"
#include "kernel/string.h"

#define TAG_ALIGNMENT 8u

enum tag_kind {
    TAG_END = 0,
    TAG_COMMAND_LINE = 1,
    TAG_LOADER_NAME = 2,
    TAG_MEMORY_MAP = 6,
    TAG_EFI32_SYSTEM_TABLE = 11,
    TAG_EFI64_SYSTEM_TABLE = 12,
    TAG_RSDP_V1 = 14,
    TAG_RSDP_V2 = 15,
    TAG_EFI32_IMAGE = 19,
    TAG_EFI64_IMAGE = 20,
};

struct information_header {
    uint32_t total_size;
    uint32_t reserved;
};

struct tag {
    uint32_t kind;
    uint32_t size; /* with this header, without the padding to the next tag */
};

struct memory_map_header {
    uint32_t entry_size;
    uint32_t entry_version;
};

struct memory_map_entry {
    uint64_t start;
    uint64_t length;
    uint32_t kind;
    uint32_t reserved;
};

static void memory_map_read(const uint8_t *content, size_t size, struct boot_facts *facts)
{
    struct memory_map_header header;
    struct memory_map_entry entry;

    if (size < sizeof(header)) {
        return;
    }
    memcpy(&header, content, sizeof(header));
    if (header.entry_size < sizeof(entry)) {
        return;
    }
    for (size_t at = sizeof(header); at + header.entry_size <= size; at += header.entry_size) {
        memcpy(&entry, content + at, sizeof(entry));
        boot_region_add(facts, entry.start, entry.length, entry.kind);
    }
}

/* The tag of the newer revision wins, whichever comes first. */
static void rsdp_read(const uint8_t *content, size_t size, struct boot_facts *facts)
{
    if (size > BOOT_RSDP_MAX) {
        size = BOOT_RSDP_MAX;
    }
    if (size > facts->rsdp_length) {
        memcpy(facts->rsdp, content, size);
        facts->rsdp_length = (uint32_t)size;
    }
}

static void tag_read(const struct tag *tag, struct boot_facts *facts)
{
    const uint8_t *content = (const uint8_t *)(tag + 1);
    size_t size = tag->size - sizeof(*tag);

    switch (tag->kind) {
    case TAG_COMMAND_LINE:
        boot_command_line_set(facts, (const char *)content, size);
        break;
    case TAG_LOADER_NAME:
        boot_loader_set(facts, (const char *)content, size);
        break;
    case TAG_MEMORY_MAP:
        memory_map_read(content, size, facts);
        break;
    case TAG_EFI32_SYSTEM_TABLE:
    case TAG_EFI64_SYSTEM_TABLE:
    case TAG_EFI32_IMAGE:
    case TAG_EFI64_IMAGE:
        facts->firmware = "UEFI";
        break;
    case TAG_RSDP_V1:
    case TAG_RSDP_V2:
        rsdp_read(content, size, facts);
        break;
    default:
        break;
    }
}

void multiboot2_read(uint64_t physical, struct boot_facts *facts)
{
    const uint8_t *information = physical_to_virtual(physical);
    const struct information_header *header = (const struct information_header *)information;
    size_t at = sizeof(*header);

    facts->protocol = BOOT_MULTIBOOT2;
    facts->firmware = "BIOS";
    while (at + sizeof(struct tag) <= header->total_size) {
        const struct tag *tag = (const struct tag *)(information + at);

        if (tag->kind == TAG_END || tag->size < sizeof(*tag) ||
            at + tag->size > header->total_size) {
            return;
        }
        tag_read(tag, facts);
        at += (tag->size + TAG_ALIGNMENT - 1) & ~(size_t)(TAG_ALIGNMENT - 1);
    }
}
