// SPDX-License-Identifier: MIT
/* IOAPICs; the functions stand in apic.h. Invariant: every line is masked until a driver routes it.
 */

#include "arch/acpi.h"
#include "arch/apic.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"

#define REGISTER_VERSION       1u
#define REGISTER_REDIRECTION   0x10u /* two for each line */
#define DATA_OFFSET            0x10  /* of the data window behind the index register */
#define REDIRECTION_LOW_ACTIVE (1u << 13)
#define REDIRECTION_LEVEL      (1u << 15)
#define REDIRECTION_MASKED     (1u << 16)

/* MPS INTI flags; 0 in a field means: as the bus does (ISA: high, edge). */
#define INTI_POLARITY      3u
#define INTI_POLARITY_HIGH 1u
#define INTI_POLARITY_LOW  3u
#define INTI_TRIGGER       (3u << 2)
#define INTI_TRIGGER_LEVEL (3u << 2)

/* Where PCs have it, should no table tell. */
static const struct acpi_ioapic default_ioapic = {0xfec00000, 0};

struct ioapic {
    volatile uint32_t *registers;
    uint32_t first_line;
    uint32_t line_count;
};

static struct spinlock ioapic_lock = SPINLOCK("ioapic"); /* index and data registers are a pair */
static struct ioapic ioapics[ACPI_IOAPIC_MAX];
static unsigned ioapic_count;

static uint32_t ioapic_read(const struct ioapic *ioapic, uint32_t which)
{
    ioapic->registers[0] = which;
    return ioapic->registers[DATA_OFFSET / 4];
}

static void ioapic_write(const struct ioapic *ioapic, uint32_t which, uint32_t value)
{
    ioapic->registers[0] = which;
    ioapic->registers[DATA_OFFSET / 4] = value;
}

static void ioapic_add(const struct acpi_ioapic *facts)
{
    struct ioapic *ioapic = &ioapics[ioapic_count];
    uint32_t version;

    ioapic->registers = paging_map_device(facts->address, PAGE_SIZE);
    if (ioapic->registers == NULL) {
        log_error("ioapic at 0x%llx: cannot be mapped", (unsigned long long)facts->address);
        return;
    }
    version = ioapic_read(ioapic, REGISTER_VERSION);
    if (version == 0 || version == UINT32_MAX) {
        log_warning("ioapic at 0x%llx: not there", (unsigned long long)facts->address);
        return;
    }
    ioapic->first_line = facts->first_line;
    ioapic->line_count = (version >> 16 & 0xff) + 1;
    for (uint32_t line = 0; line < ioapic->line_count; line++) {
        ioapic_write(ioapic, REGISTER_REDIRECTION + 2 * line, REDIRECTION_MASKED);
    }
    ioapic_count++;
}

void ioapic_initialize(void)
{
    const struct acpi_facts *facts = acpi_facts();

    for (unsigned i = 0; i < facts->ioapic_count; i++) {
        ioapic_add(&facts->ioapics[i]);
    }
    if (facts->ioapic_count == 0) {
        ioapic_add(&default_ioapic);
    }
}

/* The global line of ISA @line; *@flags as in the MADT's override, 0 without one. */
static uint32_t global_line_of(unsigned line, uint16_t *flags)
{
    const struct acpi_facts *facts = acpi_facts();

    for (unsigned i = 0; i < facts->override_count; i++) {
        if (facts->overrides[i].isa_line == line) {
            *flags = facts->overrides[i].flags;
            return facts->overrides[i].global_line;
        }
    }
    *flags = 0;
    return line;
}

/* The IOAPIC that has @global_line; NULL: none. */
static const struct ioapic *ioapic_of(uint32_t global_line)
{
    for (unsigned i = 0; i < ioapic_count; i++) {
        if (global_line - ioapics[i].first_line < ioapics[i].line_count) {
            return &ioapics[i];
        }
    }
    return NULL;
}

/* Writes the redirection entry of @global_line, unless @must_be_masked and it is not. */
static bool redirect(const struct ioapic *ioapic, uint32_t global_line, uint32_t low,
                     uint32_t apic_id, bool must_be_masked)
{
    uint32_t which = REGISTER_REDIRECTION + 2 * (global_line - ioapic->first_line);
    uint64_t interrupts = spinlock_lock_save(&ioapic_lock);
    bool is_allowed = !must_be_masked || (ioapic_read(ioapic, which) & REDIRECTION_MASKED) != 0;

    if (is_allowed) {
        ioapic_write(ioapic, which, REDIRECTION_MASKED);
        ioapic_write(ioapic, which + 1, apic_id << 24);
        ioapic_write(ioapic, which, low);
    }
    spinlock_unlock_restore(&ioapic_lock, interrupts);
    return is_allowed;
}

static const struct ioapic *ioapic_of_logged(unsigned line, uint32_t global_line)
{
    const struct ioapic *ioapic = ioapic_of(global_line);

    if (ioapic == NULL) {
        log_warning("ioapic: no IOAPIC has interrupt line %u", line);
    }
    return ioapic;
}

bool ioapic_route(unsigned line, unsigned vector, unsigned cpu)
{
    uint16_t flags;
    uint32_t global = global_line_of(line, &flags);
    const struct ioapic *ioapic = ioapic_of_logged(line, global);
    uint32_t low = vector;

    low |= (flags & INTI_POLARITY) == INTI_POLARITY_LOW ? REDIRECTION_LOW_ACTIVE : 0;
    low |= (flags & INTI_TRIGGER) == INTI_TRIGGER_LEVEL ? REDIRECTION_LEVEL : 0;
    return ioapic != NULL && redirect(ioapic, global, low, cpus[cpu]->apic_id, false);
}

bool ioapic_route_level(unsigned line, unsigned vector, unsigned cpu)
{
    uint16_t flags;
    uint32_t global = global_line_of(line, &flags);
    const struct ioapic *ioapic = ioapic_of_logged(line, global);
    bool is_high = (flags & INTI_POLARITY) == INTI_POLARITY_HIGH;
    uint32_t low = vector | REDIRECTION_LEVEL | (is_high ? 0 : REDIRECTION_LOW_ACTIVE);

    if (ioapic == NULL) {
        return false;
    }
    if (!redirect(ioapic, global, low, cpus[cpu]->apic_id, true)) {
        log_warning("ioapic: interrupt line %u is in use already", line);
        return false;
    }
    return true;
}

void ioapic_mask(unsigned line)
{
    uint16_t flags;
    uint32_t global = global_line_of(line, &flags);
    const struct ioapic *ioapic = ioapic_of(global);

    if (ioapic != NULL) {
        redirect(ioapic, global, REDIRECTION_MASKED, 0, false);
    }
}
