// SPDX-License-Identifier: MIT
/* Interrupts of a device: MSI-X and MSI ("Message Signaled Interrupts", PCI Local Bus 3.0, 6.8), or
 * INTx (pci_intx.c). Invariant: an interrupt is masked at the device until it has a handler, and a
 * handler that was taken away is not called once pci_interrupts_release() has returned. Callers:
 * drivers, pci_drivers.c. */
#include "drivers/pci_interrupts.h"

#include "arch/interrupt_vectors.h"
#include "arch/percpu.h"
#include "drivers/pci_registers.h"
#include "kernel/cross_call.h"
#include "kernel/heap.h"
#include "kernel/log.h"

#define VECTORS_MAX 64u /* of one device: what the drivers here could use */

/* What a message can address without interrupt remapping; 0xff is everyone. */
#define MESSAGE_APIC_ID_MAX 0xfeu

#define CONTROL 2u /* offset in both capabilities */

#define MSI_ENABLE          (1u << 0)
#define MSI_VECTORS_ENABLED (7u << 4) /* as a power of two */
#define MSI_64BIT           (1u << 7)
#define MSI_MASKABLE        (1u << 8)
#define MSI_ADDRESS         4u

#define MSIX_SIZE         0x7ffu /* of the table, less one */
#define MSIX_MASK_ALL     (1u << 14)
#define MSIX_ENABLE       (1u << 15)
#define MSIX_TABLE        4u
#define MSIX_TABLE_BAR    7u /* the rest is the offset in that BAR */
#define MSIX_ENTRY_MASKED 1u
#define MSIX_ENTRY_BYTES  16u

/* One line of the table. */
struct msix_entry {
    uint32_t address_low, address_high, data, control;
};
_Static_assert(sizeof(struct msix_entry) == MSIX_ENTRY_BYTES, "PCI: MSI-X table entry");

struct pci_interrupts {
    enum pci_interrupt_kind kind;
    unsigned capability; /* MSI, MSI-X: its offset */
    unsigned count;
    volatile struct msix_entry *table; /* MSI-X */
    struct pci_interrupt_slot slots[];
};

const char *pci_interrupt_kind_name(enum pci_interrupt_kind kind)
{
    static const char *const names[PCI_INTERRUPT_KINDS] = {"none", "intx", "msi", "msi-x"};

    return kind < PCI_INTERRUPT_KINDS ? names[kind] : "?";
}

/* Maps the table and masks all of it. Returns the number of vectors, 0 if the table cannot be used.
 */
static unsigned msix_open(struct pci_device *device, struct pci_interrupts *interrupts)
{
    unsigned at = interrupts->capability;
    uint16_t control = pci_read16(device, at + CONTROL);
    uint32_t place = pci_read32(device, at + MSIX_TABLE);
    unsigned size = (control & MSIX_SIZE) + 1;

    interrupts->table = pci_map_bar(device, place & MSIX_TABLE_BAR, place & ~MSIX_TABLE_BAR,
                                    (uint64_t)size * MSIX_ENTRY_BYTES);
    if (interrupts->table == NULL) {
        log_warning("pci: %s: its MSI-X cannot be used", device->location);
        return 0;
    }
    pci_write16(device, PCI_COMMAND, pci_read16(device, PCI_COMMAND) | PCI_COMMAND_MEMORY);
    pci_write16(device, at + CONTROL, control | MSIX_ENABLE | MSIX_MASK_ALL);
    for (unsigned i = 0; i < size; i++) {
        interrupts->table[i].control |= MSIX_ENTRY_MASKED;
    }
    pci_write16(device, at + CONTROL, (uint16_t)((control | MSIX_ENABLE) & ~MSIX_MASK_ALL));
    return size;
}

static void msix_write(volatile struct msix_entry *entry, uint64_t address, uint32_t data)
{
    entry->address_low = (uint32_t)address;
    entry->address_high = (uint32_t)(address >> 32);
    entry->data = data;
    entry->control &= ~MSIX_ENTRY_MASKED;
}

/* One that cannot mask its vector is masked by being disabled. */
static void msi_close(const struct pci_device *device, unsigned at)
{
    uint16_t control = pci_read16(device, at + CONTROL);

    pci_write16(device, at + CONTROL, (uint16_t)(control & ~(MSI_ENABLE | MSI_VECTORS_ENABLED)));
}

static void msi_write(const struct pci_device *device, unsigned at, uint64_t address, uint32_t data)
{
    uint16_t control = pci_read16(device, at + CONTROL);
    unsigned data_at = at + MSI_ADDRESS + (control & MSI_64BIT ? 8 : 4);

    pci_write32(device, at + MSI_ADDRESS, (uint32_t)address);
    if (control & MSI_64BIT) {
        pci_write32(device, at + MSI_ADDRESS + 4, (uint32_t)(address >> 32));
    }
    pci_write16(device, data_at, (uint16_t)data);
    if (control & MSI_MASKABLE) {
        pci_write32(device, data_at + 4, 0);
    }
    pci_write16(device, at + CONTROL, control | MSI_ENABLE);
}

/* Sets kind, capability and count of the best kind there is. */
static void kind_choose(struct pci_device *device, struct pci_interrupts *interrupts,
                        unsigned wanted)
{
    unsigned msi = pci_find_capability(device, PCI_CAPABILITY_MSI, 0);
    unsigned available = 0;

    interrupts->capability = pci_find_capability(device, PCI_CAPABILITY_MSIX, 0);
    if (interrupts->capability != 0) {
        available = msix_open(device, interrupts);
    }
    if (msi != 0) {
        msi_close(device, msi);
    }
    interrupts->count = 1;
    if (available != 0) {
        interrupts->kind = PCI_INTERRUPT_MSIX;
        interrupts->count = available < wanted ? available : wanted;
    } else if (msi != 0) {
        interrupts->kind = PCI_INTERRUPT_MSI;
        interrupts->capability = msi;
    } else if (device->interrupt_pin != 0) {
        interrupts->kind = PCI_INTERRUPT_INTX;
    } else {
        interrupts->kind = PCI_INTERRUPT_NONE;
        interrupts->count = 0;
    }
}

enum pci_interrupt_kind pci_interrupts_choose(struct pci_device *device, unsigned wanted,
                                              unsigned *count)
{
    struct pci_interrupts *interrupts;

    *count = 0;
    if (wanted == 0 || device->interrupts != NULL) {
        log_error("pci: %s: its interrupts are chosen twice, or none is wanted", device->location);
        return PCI_INTERRUPT_NONE;
    }
    wanted = wanted < VECTORS_MAX ? wanted : VECTORS_MAX;
    interrupts = heap_allocate(sizeof(*interrupts) + wanted * sizeof(struct pci_interrupt_slot));
    if (interrupts == NULL) {
        log_warning("pci: %s: no memory for its interrupts", device->location);
        return PCI_INTERRUPT_NONE;
    }
    kind_choose(device, interrupts, wanted);
    device->interrupts = interrupts;
    *count = interrupts->count;
    return interrupts->kind;
}

bool pci_interrupt_slot_call(const struct pci_interrupt_slot *slot)
{
    /* Pairs with the release in pci_interrupt_route(): without it a handler could be called with
     * an argument not yet written. */
    pci_interrupt_handler *handler = __atomic_load_n(&slot->handler, __ATOMIC_ACQUIRE);

    return handler != NULL && handler(slot->argument);
}

static void message_interrupt(void *argument)
{
    pci_interrupt_slot_call(argument);
}

/* MSI and MSI-X. */
static bool message_route(const struct pci_device *device, unsigned index, unsigned cpu,
                          struct pci_interrupt_slot *slot)
{
    struct pci_interrupts *interrupts = device->interrupts;
    uint64_t address = interrupt_message_address(cpu);

    slot->vector = interrupt_vector_allocate(message_interrupt, slot);
    if (slot->vector == 0) {
        log_warning("pci: %s: no vector is left for interrupt %u", device->location, index);
        return false;
    }
    if (interrupts->kind == PCI_INTERRUPT_MSIX) {
        msix_write(&interrupts->table[index], address, interrupt_message_data(slot->vector));
    } else {
        msi_write(device, interrupts->capability, address, interrupt_message_data(slot->vector));
    }
    return true;
}

bool pci_interrupt_route(struct pci_device *device, unsigned index, unsigned cpu,
                         pci_interrupt_handler *handler, void *argument)
{
    struct pci_interrupts *interrupts = device->interrupts;
    struct pci_interrupt_slot *slot;

    if (interrupts == NULL || index >= interrupts->count || interrupts->slots[index].vector != 0) {
        log_error("pci: %s: interrupt %u is not there, or routed already", device->location, index);
        return false;
    }
    if (cpu_by_index(cpu)->apic_id > MESSAGE_APIC_ID_MAX) {
        log_warning("pci: %s: devices cannot interrupt CPU %u: its APIC id is %u", device->location,
                    cpu, cpu_by_index(cpu)->apic_id);
        return false;
    }
    slot = &interrupts->slots[index];
    slot->argument = argument;
    /* Pairs with the acquire in pci_interrupt_slot_call(). */
    __atomic_store_n(&slot->handler, handler, __ATOMIC_RELEASE);
    return interrupts->kind == PCI_INTERRUPT_INTX ? pci_intx_route(device, cpu, slot)
                                                  : message_route(device, index, cpu, slot);
}

static void messages_close(const struct pci_device *device, const struct pci_interrupts *interrupts)
{
    if (interrupts->kind == PCI_INTERRUPT_MSIX) {
        uint16_t control = pci_read16(device, interrupts->capability + CONTROL);

        for (unsigned i = 0; i < interrupts->count; i++) {
            interrupts->table[i].control |= MSIX_ENTRY_MASKED;
        }
        pci_write16(device, interrupts->capability + CONTROL, (uint16_t)(control & ~MSIX_ENABLE));
    } else if (interrupts->kind == PCI_INTERRUPT_MSI) {
        msi_close(device, interrupts->capability);
    }
}

void pci_interrupts_release(struct pci_device *device)
{
    struct pci_interrupts *interrupts = device->interrupts;

    if (interrupts == NULL) {
        return;
    }
    pci_write16(device, PCI_COMMAND, pci_read16(device, PCI_COMMAND) | PCI_COMMAND_NO_INTX);
    messages_close(device, interrupts);
    for (unsigned i = 0; i < interrupts->count; i++) {
        __atomic_store_n(&interrupts->slots[i].handler, NULL, __ATOMIC_RELEASE);
    }
    interrupt_handlers_wait();
    device->interrupts = NULL; /* not freed: vectors and lines hold pointers to its slots */
}
