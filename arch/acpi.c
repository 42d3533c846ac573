// SPDX-License-Identifier: MIT
/* Finding and checking the ACPI tables; see acpi.h. Invariant: nothing is read from a table whose
 * length and checksum have not been checked. What the MADT, HPET and MCFG tables say is
 * read in acpi_tables.c. */

#include "arch/acpi.h"

#include "arch/acpi_tables.h"
#include "arch/paging.h"
#include "kernel/log.h"
#include "kernel/string.h"

#define RSDP_SIGNATURE   "RSD PTR "
#define RSDP_LENGTH_V1   20u
#define RSDP_ALIGNMENT   16u
#define EBDA_SEGMENT_AT  0x40eu
#define EBDA_SEARCH_SIZE 1024u
#define BIOS_AREA        0xe0000u
#define BIOS_AREA_SIZE   0x20000u
#define TABLE_LENGTH_MAX (1u << 20)

struct __attribute__((packed)) rsdp {
    char signature[8];
    uint8_t checksum; /* of the first 20 bytes */
    char oem[6];
    uint8_t revision;
    uint32_t rsdt;
    /* revision 2 and later: */
    uint32_t length;
    uint64_t xsdt;
    uint8_t extended_checksum;
    uint8_t reserved[3];
};
_Static_assert(sizeof(struct rsdp) == BOOT_RSDP_MAX, "ACPI: root system description pointer");

static struct acpi_facts facts = {.local_apic_address = 0xfee00000};

const struct acpi_facts *acpi_facts(void)
{
    return &facts;
}

static bool sums_to_zero(const void *data, size_t length)
{
    const uint8_t *bytes = data;
    uint8_t sum = 0;

    for (size_t i = 0; i < length; i++) {
        sum = (uint8_t)(sum + bytes[i]);
    }
    return sum == 0;
}

static bool rsdp_is_valid(const void *candidate)
{
    return memcmp(candidate, RSDP_SIGNATURE, 8) == 0 && sums_to_zero(candidate, RSDP_LENGTH_V1);
}

/* Copies the first valid RSDP in [physical, physical + size) to @out. */
static bool rsdp_search(uint64_t physical, uint64_t size, struct rsdp *out)
{
    const uint8_t *area = paging_map_tables(physical, size);

    for (uint64_t at = 0; area != NULL && at + sizeof(*out) <= size; at += RSDP_ALIGNMENT) {
        if (rsdp_is_valid(area + at)) {
            memcpy(out, area + at, sizeof(*out));
            return true;
        }
    }
    return false;
}

static bool rsdp_find(const struct boot_facts *boot, struct rsdp *out)
{
    const uint16_t *ebda_segment;

    memset(out, 0, sizeof(*out));
    if (boot->rsdp_length >= RSDP_LENGTH_V1 && rsdp_is_valid(boot->rsdp)) {
        memcpy(out, boot->rsdp, boot->rsdp_length);
        return true;
    }
    ebda_segment = paging_map_tables(EBDA_SEGMENT_AT, sizeof(*ebda_segment));
    if (ebda_segment != NULL && *ebda_segment != 0 &&
        rsdp_search((uint64_t)*ebda_segment << 4, EBDA_SEARCH_SIZE, out)) {
        return true;
    }
    return rsdp_search(BIOS_AREA, BIOS_AREA_SIZE, out);
}

/* Maps the table at @physical whole. Returns NULL, and logs it, if length or checksum is wrong. */
static const struct acpi_table *table_map(uint64_t physical)
{
    const struct acpi_table *table = paging_map_tables(physical, sizeof(*table));

    if (table == NULL || table->length < sizeof(*table) || table->length > TABLE_LENGTH_MAX) {
        log_warning("acpi: no table at 0x%llx", (unsigned long long)physical);
        return NULL;
    }
    table = paging_map_tables(physical, table->length);
    if (table == NULL || !sums_to_zero(table, table->length)) {
        log_warning("acpi: table at 0x%llx: wrong checksum", (unsigned long long)physical);
        return NULL;
    }
    return table;
}

static void table_read(uint64_t physical)
{
    const struct acpi_table *table = table_map(physical);

    if (table == NULL) {
        return;
    }
    if (memcmp(table->signature, "APIC", 4) == 0) {
        acpi_madt_read(table, &facts);
    } else if (memcmp(table->signature, "HPET", 4) == 0) {
        acpi_hpet_read(table, &facts);
    } else if (memcmp(table->signature, "MCFG", 4) == 0) {
        acpi_mcfg_read(table, &facts);
    }
}

/* Reads every table that the root table lists; its entries are @width bytes wide. */
static bool root_read(uint64_t physical, const char *signature, size_t width)
{
    const struct acpi_table *root = physical != 0 ? table_map(physical) : NULL;

    if (root == NULL || memcmp(root->signature, signature, 4) != 0) {
        return false;
    }
    for (size_t at = sizeof(*root); at + width <= root->length; at += width) {
        uint64_t address = 0;

        memcpy(&address, (const uint8_t *)root + at, width);
        table_read(address);
    }
    return true;
}

void acpi_initialize(const struct boot_facts *boot)
{
    struct rsdp rsdp;

    if (rsdp_find(boot, &rsdp)) {
        bool has_xsdt = rsdp.revision >= 2 && sums_to_zero(&rsdp, sizeof(rsdp));

        facts.found = (has_xsdt && root_read(rsdp.xsdt, "XSDT", sizeof(uint64_t))) ||
                      root_read(rsdp.rsdt, "RSDT", sizeof(uint32_t));
    }
    if (facts.found && facts.ioapic_count == 0) {
        log_warning("acpi: no MADT, or none with an IOAPIC: using 1 CPU and the PC's defaults");
    }
    if (!facts.found) {
        log_warning("acpi: no tables: using 1 CPU and the PC's default addresses");
    }
}
