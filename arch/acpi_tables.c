// SPDX-License-Identifier: MIT
/* MADT and HPET ("Multiple APIC Description Table", ACPI 6.4, 5.2.12), and MCFG ("MCFG Table
 * Description", PCI Firmware Specification 3.2). Invariant: an entry is read only if it lies inside
 * its table whole. Called by acpi.c. */

#include "arch/acpi_tables.h"

#include "arch/features.h"
#include "arch/percpu.h"
#include "kernel/log.h"

#include <stddef.h>

#define CPU_ENABLED  1u
#define XAPIC_ID_MAX 254u

enum madt_kind {
    MADT_LOCAL_APIC = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_APIC_ADDRESS = 5,
    MADT_X2APIC = 9,
    MADT_KINDS
};

struct __attribute__((packed)) madt {
    struct acpi_table header;
    uint32_t local_apic_address;
    uint32_t flags;
};

/* The entries, by kind. */
struct __attribute__((packed)) madt_entry {
    uint8_t kind;
    uint8_t length;
    union {
        struct __attribute__((packed)) {
            uint8_t processor;
            uint8_t apic_id;
            uint32_t flags;
        } local_apic;
        struct __attribute__((packed)) {
            uint8_t id;
            uint8_t reserved;
            uint32_t address;
            uint32_t first_line;
        } ioapic;
        struct __attribute__((packed)) {
            uint8_t bus;
            uint8_t isa_line;
            uint32_t global_line;
            uint16_t flags;
        } override;
        struct __attribute__((packed)) {
            uint16_t reserved;
            uint64_t address;
        } apic_address;
        struct __attribute__((packed)) {
            uint16_t reserved;
            uint32_t apic_id;
            uint32_t flags;
            uint32_t processor;
        } x2apic;
    };
};

static const uint8_t madt_entry_length[MADT_KINDS] = {
    [MADT_LOCAL_APIC] = 8,    [MADT_IOAPIC] = 12, [MADT_OVERRIDE] = 10,
    [MADT_APIC_ADDRESS] = 12, [MADT_X2APIC] = 16,
};

struct __attribute__((packed)) hpet_table {
    struct acpi_table header;
    uint32_t block;
    uint8_t address_space; /* 0: memory */
    uint8_t address_format[3];
    uint64_t address;
};

struct __attribute__((packed)) mcfg {
    struct acpi_table header;
    uint64_t reserved;
    struct __attribute__((packed)) mcfg_entry {
        uint64_t address; /* where bus 0 of the segment is, or would be */
        uint16_t segment;
        uint8_t first_bus;
        uint8_t last_bus;
        uint32_t reserved;
    } entries[];
};

#define ECAM_BUS_SIZE (1ull << 20)

static void cpu_read(uint32_t apic_id, uint32_t flags)
{
    if (!(flags & CPU_ENABLED)) {
        return;
    }
    if (apic_id > XAPIC_ID_MAX && !feature_present(FEATURE_X2APIC)) {
        log_warning("acpi: CPU with APIC id %u ignored: needs x2APIC", apic_id);
    } else if (cpu_add(apic_id) == NULL) {
        log_warning("acpi: CPU with APIC id %u ignored: more than %u, or out of memory", apic_id,
                    CPU_MAX);
    }
}

static void ioapic_read(const struct madt_entry *entry, struct acpi_facts *facts)
{
    if (facts->ioapic_count == ACPI_IOAPIC_MAX) {
        log_warning("acpi: IOAPIC %u ignored: more than %u", entry->ioapic.id, ACPI_IOAPIC_MAX);
        return;
    }
    facts->ioapics[facts->ioapic_count++] =
        (struct acpi_ioapic){entry->ioapic.address, entry->ioapic.first_line};
}

static void override_read(const struct madt_entry *entry, struct acpi_facts *facts)
{
    if (facts->override_count == ACPI_OVERRIDE_MAX) {
        log_warning("acpi: override of line %u ignored: more than %u", entry->override.isa_line,
                    ACPI_OVERRIDE_MAX);
        return;
    }
    facts->overrides[facts->override_count++] = (struct acpi_override){
        entry->override.isa_line, entry->override.global_line, entry->override.flags};
}

static void entry_read(const struct madt_entry *entry, struct acpi_facts *facts)
{
    switch (entry->kind) {
    case MADT_LOCAL_APIC:
        cpu_read(entry->local_apic.apic_id, entry->local_apic.flags);
        break;
    case MADT_IOAPIC:
        ioapic_read(entry, facts);
        break;
    case MADT_OVERRIDE:
        override_read(entry, facts);
        break;
    case MADT_APIC_ADDRESS:
        facts->local_apic_address = entry->apic_address.address;
        break;
    case MADT_X2APIC:
        cpu_read(entry->x2apic.apic_id, entry->x2apic.flags);
        break;
    default:
        break;
    }
}

void acpi_madt_read(const struct acpi_table *table, struct acpi_facts *facts)
{
    const struct madt *madt = (const struct madt *)table;
    size_t at = sizeof(*madt);

    if (table->length < sizeof(*madt)) {
        log_warning("acpi: MADT of %u bytes is too short", table->length);
        return;
    }
    facts->local_apic_address = madt->local_apic_address;
    while (at + offsetof(struct madt_entry, local_apic) <= table->length) {
        const struct madt_entry *entry = (const struct madt_entry *)((const uint8_t *)table + at);

        if (entry->length < 2 || at + entry->length > table->length ||
            (entry->kind < MADT_KINDS && entry->length < madt_entry_length[entry->kind])) {
            log_warning("acpi: MADT entry at offset %zu: wrong length %u", at, entry->length);
            return;
        }
        entry_read(entry, facts);
        at += entry->length;
    }
}

void acpi_hpet_read(const struct acpi_table *table, struct acpi_facts *facts)
{
    const struct hpet_table *hpet = (const struct hpet_table *)table;

    if (table->length >= sizeof(*hpet) && hpet->address_space == 0) {
        facts->hpet_address = hpet->address;
    }
}

static void mcfg_entry_read(const struct mcfg_entry *entry, struct acpi_facts *facts)
{
    const char *fault = NULL;

    if (entry->segment != 0) {
        fault = "is not segment 0";
    } else if (entry->address == 0 || entry->address % ECAM_BUS_SIZE != 0 ||
               entry->first_bus > entry->last_bus) {
        fault = "makes no sense";
    } else if (facts->ecam_address != 0) {
        fault = "is the second of its segment";
    }
    if (fault != NULL) {
        log_warning("acpi: PCI segment %u, buses %u to %u at 0x%llx: ignored: it %s",
                    entry->segment, entry->first_bus, entry->last_bus,
                    (unsigned long long)entry->address, fault);
        return;
    }
    facts->ecam_address = entry->address;
    facts->ecam_first_bus = entry->first_bus;
    facts->ecam_last_bus = entry->last_bus;
}

void acpi_mcfg_read(const struct acpi_table *table, struct acpi_facts *facts)
{
    const struct mcfg *mcfg = (const struct mcfg *)table;

    if (table->length < sizeof(*mcfg)) {
        log_warning("acpi: MCFG of %u bytes is too short", table->length);
        return;
    }
    for (size_t i = 0; i < (table->length - sizeof(*mcfg)) / sizeof(mcfg->entries[0]); i++) {
        mcfg_entry_read(&mcfg->entries[i], facts);
    }
}
