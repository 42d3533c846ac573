// SPDX-License-Identifier: MIT
/* See fake_pci.h. */
#include "tests/host/fake_pci.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arch/paging.h"
#include "drivers/pci_access.h"
#include "drivers/pci_registers.h"
#include "kernel/log.h"

#define FUNCTIONS_MAX 512

char fake_log[65536];
unsigned fake_faults, fake_writes, fake_buses, fake_bus_refused;
uint64_t fake_mapped_address, fake_mapped_size, fake_memory_address;
void *fake_memory;

static struct fake_function functions[FUNCTIONS_MAX];
static unsigned function_count;

void fake_pci_reset(void)
{
    memset(functions, 0, sizeof(functions));
    function_count = 0;
    fake_log[0] = '\0';
    fake_faults = fake_writes = fake_buses = 0;
    fake_bus_refused = 256;
    fake_mapped_address = fake_mapped_size = fake_memory_address = 0;
    fake_memory = NULL;
}

struct fake_function *fake_pci_add(uint8_t bus, uint8_t device, uint8_t function, uint8_t kind)
{
    struct fake_function *added = &functions[function_count++];

    added->bus = bus;
    added->device = device;
    added->function = function;
    added->config.words[PCI_VENDOR / 2] = 0x1234;
    added->config.words[PCI_ID / 2] = 0x5678;
    added->config.bytes[PCI_HEADER_TYPE] = kind;
    return added;
}

void fake_pci_add_bridge(uint8_t bus, uint8_t device, uint8_t secondary)
{
    fake_pci_add(bus, device, 0, PCI_HEADER_BRIDGE)->config.bytes[PCI_SECONDARY_BUS] = secondary;
}

void fake_pci_add_capability(struct fake_function *function, uint8_t at, uint8_t id, uint8_t next,
                             bool is_first)
{
    function->config.words[PCI_STATUS / 2] |= PCI_STATUS_HAS_LIST;
    function->config.bytes[at] = id;
    function->config.bytes[at + 1] = next;
    if (is_first) {
        function->config.bytes[PCI_CAPABILITIES] = at;
    }
}

static struct fake_function *find(const struct pci_device *device, unsigned offset)
{
    for (unsigned i = 0; i < function_count; i++) {
        struct fake_function *function = &functions[i];

        if (function->bus == device->bus && function->device == device->device &&
            function->function == device->function) {
            return offset < sizeof(function->config) ? function : NULL;
        }
    }
    return NULL;
}

uint8_t pci_read8(const struct pci_device *device, unsigned offset)
{
    const struct fake_function *function = find(device, offset);

    return function != NULL ? function->config.bytes[offset] : UINT8_MAX;
}

uint16_t pci_read16(const struct pci_device *device, unsigned offset)
{
    const struct fake_function *function = find(device, offset);

    return function != NULL ? function->config.words[offset / 2] : UINT16_MAX;
}

uint32_t pci_read32(const struct pci_device *device, unsigned offset)
{
    const struct fake_function *function = find(device, offset);

    return function != NULL ? function->config.longs[offset / 4] : UINT32_MAX;
}

void pci_write16(const struct pci_device *device, unsigned offset, uint16_t value)
{
    struct fake_function *function = find(device, offset);

    fake_writes++;
    if (function != NULL) {
        function->config.words[offset / 2] = value;
    }
}

void pci_write32(const struct pci_device *device, unsigned offset, uint32_t value)
{
    struct fake_function *function = find(device, offset);
    uint32_t writable = UINT32_MAX;

    fake_writes++;
    if (function == NULL) {
        return;
    }
    if (offset >= PCI_BAR0 && offset < PCI_BAR0 + 4 * PCI_BAR_MAX) {
        writable = function->bar_writable[(offset - PCI_BAR0) / 4];
        if (function->config.words[PCI_COMMAND / 2] & (PCI_COMMAND_MEMORY | PCI_COMMAND_PORTS)) {
            fake_faults++;
        }
    }
    function->config.longs[offset / 4] =
        (function->config.longs[offset / 4] & ~writable) | (value & writable);
}

void pci_access_initialize(void)
{
}

bool pci_access_open_bus(unsigned bus)
{
    fake_buses++;
    return bus != fake_bus_refused;
}

const char *pci_access_name(void)
{
    return "fake";
}

volatile void *paging_map_device(uint64_t physical, uint64_t size)
{
    fake_mapped_address = physical;
    fake_mapped_size = size;
    return fake_memory_address == 0 ? fake_memory
                                    : (uint8_t *)fake_memory + (physical - fake_memory_address);
}

void log_write(enum log_level level, const char *format, ...)
{
    size_t used = strlen(fake_log);
    va_list arguments;

    (void)level;
    va_start(arguments, format);
    used += (size_t)vsnprintf(fake_log + used, sizeof(fake_log) - used, format, arguments);
    va_end(arguments);
    if (used < sizeof(fake_log) - 1) {
        snprintf(fake_log + used, sizeof(fake_log) - used, "\n");
    }
}
