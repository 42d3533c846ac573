// SPDX-License-Identifier: MIT
/* Base address registers ("Base Addresses", PCI Local Bus 3.0, 6.2.5.1). Invariant: a register
 * holds all ones only while the device decodes nothing; what is mapped lies inside one BAR whole.
 * Callers: pci_bus.c, drivers (pci_map_bar). */
#include "drivers/pci_bar.h"

#include "arch/paging.h"
#include "drivers/pci_registers.h"
#include "kernel/log.h"

#define IS_PORT        1u
#define PORT_MASK      (~3u)
#define PORTS_MAX      0x10000ull
#define MEMORY_MASK    (~0xfu)
#define MEMORY_TYPE    (3u << 1)
#define MEMORY_32      (0u << 1)
#define MEMORY_BELOW_1 (1u << 1) /* MiB; old, decodes 32 bits all the same */
#define MEMORY_64      (2u << 1)

/* Bits that can be written must reach from the size up without a gap; 0 if they do not. */
static uint64_t size_of(uint64_t writable, uint64_t width_mask)
{
    uint64_t size = writable & -writable;

    return (writable | (size - 1)) == width_mask ? size : 0;
}

/* Many devices have the lower 16 bits of a port BAR alone. */
static bool decode_ports(uint32_t low, uint32_t low_sized, struct pci_bar *bar)
{
    uint32_t writable = (low_sized & PORT_MASK) | 0xffff0000u;

    *bar = (struct pci_bar){
        .address = low & PORT_MASK, .size = size_of(writable, UINT32_MAX), .is_port = true};
    return bar->size != 0 && bar->address % bar->size == 0 && bar->address + bar->size <= PORTS_MAX;
}

/* The upper half of a 64-bit BAR may be hard-wired to 0. */
static bool decode_memory(uint64_t address, uint64_t writable, bool is_64bit, struct pci_bar *bar)
{
    uint64_t width = is_64bit && writable > UINT32_MAX ? UINT64_MAX : UINT32_MAX;

    *bar = (struct pci_bar){
        .address = address, .size = size_of(writable, width), .is_64bit = is_64bit};
    return bar->size != 0 && address % bar->size == 0 && address + (bar->size - 1) >= address;
}

bool pci_bar_decode(uint32_t low, uint32_t high, uint32_t low_sized, uint32_t high_sized,
                    struct pci_bar *bar)
{
    uint32_t type = low & MEMORY_TYPE;
    bool is_64bit = !(low & IS_PORT) && type == MEMORY_64;
    bool is_sane = true;

    if ((low_sized | (is_64bit ? high_sized : 0)) == 0) {
        *bar = (struct pci_bar){0};
        return true;
    }
    if (low & IS_PORT) {
        is_sane = (low_sized & PORT_MASK) != 0 && decode_ports(low, low_sized, bar);
    } else if (type == MEMORY_32 || type == MEMORY_BELOW_1) {
        is_sane = decode_memory(low & MEMORY_MASK, low_sized & MEMORY_MASK, false, bar);
    } else if (is_64bit) {
        is_sane = decode_memory((uint64_t)high << 32 | (low & MEMORY_MASK),
                                (uint64_t)high_sized << 32 | (low_sized & MEMORY_MASK), true, bar);
    } else {
        is_sane = false;
    }
    if (!is_sane) {
        *bar = (struct pci_bar){0};
    }
    return is_sane;
}

static uint32_t size_register(const struct pci_device *device, unsigned offset, uint32_t *value)
{
    uint32_t sized;

    *value = pci_read32(device, offset);
    pci_write32(device, offset, UINT32_MAX);
    sized = pci_read32(device, offset);
    pci_write32(device, offset, *value);
    return sized;
}

/* Returns how many registers BAR @index takes. */
static unsigned bar_read(struct pci_device *device, unsigned index, unsigned count)
{
    unsigned offset = PCI_BAR0 + 4 * index;
    uint32_t low, high = 0, high_sized = 0;
    uint32_t low_sized = size_register(device, offset, &low);
    bool is_64bit = !(low & IS_PORT) && (low & MEMORY_TYPE) == MEMORY_64;
    bool has_upper_half = index + 1 < count;

    if (is_64bit && has_upper_half) {
        high_sized = size_register(device, offset + 4, &high);
    }
    if ((is_64bit && !has_upper_half) ||
        !pci_bar_decode(low, high, low_sized, high_sized, &device->bars[index])) {
        log_warning("pci: %s: BAR %u makes no sense: 0x%08x, sized 0x%08x", device->location, index,
                    low, low_sized);
    }
    return is_64bit ? 2 : 1;
}

void pci_bars_read(struct pci_device *device, unsigned count)
{
    uint16_t command = pci_read16(device, PCI_COMMAND);

    pci_write16(device, PCI_COMMAND,
                (uint16_t)(command & ~(PCI_COMMAND_PORTS | PCI_COMMAND_MEMORY)));
    for (unsigned index = 0; index < count;) {
        index += bar_read(device, index, count);
    }
    pci_write16(device, PCI_COMMAND, command);
}

/* Why [offset, offset + length) of the BAR cannot be mapped; NULL: it can be. */
static const char *range_fault(const struct pci_bar *bar, uint64_t offset, uint64_t length)
{
    if (bar->size == 0 || bar->is_port) {
        return bar->is_port ? "is ports" : "is not there";
    }
    if (bar->address == 0) {
        return "has no address";
    }
    return length == 0 || offset > bar->size || length > bar->size - offset ? "is too small" : NULL;
}

volatile void *pci_map_bar(const struct pci_device *device, unsigned bar, uint64_t offset,
                           uint64_t length)
{
    volatile void *mapped = NULL;
    const char *fault = "does not exist";

    if (bar < PCI_BAR_MAX) {
        fault = range_fault(&device->bars[bar], offset, length);
    }
    if (fault == NULL) {
        mapped = paging_map_device(device->bars[bar].address + offset, length);
        fault = mapped == NULL ? "cannot be mapped" : NULL;
    }
    if (fault != NULL) {
        log_warning("pci: %s: BAR %u %s: 0x%llx bytes at 0x%llx are wanted", device->location, bar,
                    fault, (unsigned long long)length, (unsigned long long)offset);
    }
    return mapped;
}
