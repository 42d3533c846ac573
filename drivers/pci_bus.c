// SPDX-License-Identifier: MIT
/* Finding devices. Invariant: each bus is looked at once, whatever the bridges say, so the search
 * ends; the list holds what was found in the order of the search, bus 0 first. Called by
 * kernel/main.c. */
#include "drivers/pci.h"
#include "drivers/pci_access.h"
#include "drivers/pci_bar.h"
#include "drivers/pci_registers.h"
#include "kernel/format.h"
#include "kernel/log.h"

#define BUSES     256u
#define SLOTS     32u
#define FUNCTIONS 8u

/* Buses in the order in which bridges to them were met. */
struct search {
    bool is_known[BUSES];
    uint8_t buses[BUSES];
    unsigned bus_count;
    unsigned reached;  /* of the buses */
    unsigned left_out; /* devices for which the list has no room */
};

static struct pci_device devices[PCI_DEVICE_MAX];
static unsigned device_count;

unsigned pci_device_count(void)
{
    return device_count;
}

struct pci_device *pci_device_at(unsigned index)
{
    return index < device_count ? &devices[index] : NULL;
}

static void header_read(struct pci_device *device)
{
    uint32_t revision_and_class = pci_read32(device, PCI_REVISION);

    device->vendor = pci_read16(device, PCI_VENDOR);
    device->id = pci_read16(device, PCI_ID);
    device->revision = (uint8_t)revision_and_class;
    device->class_code = revision_and_class >> 8;
    device->interrupt_line = pci_read8(device, PCI_INTERRUPT_LINE);
    device->interrupt_pin = pci_read8(device, PCI_INTERRUPT_PIN);
    format_text(device->location, sizeof(device->location), "%02x:%02x.%u", device->bus,
                device->device, device->function);
}

static void bridge_follow(struct search *search, const struct pci_device *bridge)
{
    uint8_t bus = pci_read8(bridge, PCI_SECONDARY_BUS);

    if (bus == 0) {
        log_warning("pci: bridge %s has got no bus: what lies behind it is not seen",
                    bridge->location);
    } else if (search->is_known[bus]) {
        log_warning("pci: bridge %s leads to bus %u, as another does: not followed",
                    bridge->location, bus);
    } else {
        search->is_known[bus] = true;
        search->buses[search->bus_count++] = bus;
    }
}

static void device_add(struct search *search, const struct pci_device *found, uint8_t header)
{
    struct pci_device *device;
    unsigned bar_count = 0;

    if (device_count == PCI_DEVICE_MAX) {
        search->left_out++;
        return;
    }
    device = &devices[device_count++];
    *device = *found;
    if (header == PCI_HEADER_DEVICE) {
        device->subsystem_vendor = pci_read16(device, PCI_SUBSYSTEM_VENDOR);
        device->subsystem = pci_read16(device, PCI_SUBSYSTEM);
        bar_count = PCI_BAR_MAX;
    } else if (header == PCI_HEADER_BRIDGE) {
        bar_count = 2;
    }
    pci_bars_read(device, bar_count);
}

/* Returns how many functions there may be in the slot: 0 if there is not even this one. */
static unsigned function_search(struct search *search, uint8_t bus, uint8_t slot, uint8_t function)
{
    struct pci_device found = {.bus = bus, .device = slot, .function = function};
    uint8_t header = pci_read8(&found, PCI_HEADER_TYPE);

    found.vendor = pci_read16(&found, PCI_VENDOR);
    if (found.vendor == PCI_NO_VENDOR || found.vendor == 0) {
        return 0;
    }
    header_read(&found);
    device_add(search, &found, header & PCI_HEADER_KIND);
    if ((header & PCI_HEADER_KIND) == PCI_HEADER_BRIDGE) {
        bridge_follow(search, &found);
    }
    return header & PCI_HEADER_FUNCTIONS ? FUNCTIONS : 1;
}

static void bus_search(struct search *search, uint8_t bus)
{
    for (uint8_t slot = 0; slot < SLOTS; slot++) {
        unsigned functions = function_search(search, bus, slot, 0);

        for (uint8_t function = 1; function < functions; function++) {
            function_search(search, bus, slot, function);
        }
    }
}

void pci_initialize(void)
{
    struct search search = {.is_known = {true}, .buses = {0}, .bus_count = 1};

    device_count = 0;
    pci_access_initialize();
    for (unsigned i = 0; i < search.bus_count; i++) {
        if (pci_access_open_bus(search.buses[i])) {
            search.reached++;
            bus_search(&search, search.buses[i]);
        }
    }
    if (search.left_out != 0) {
        log_warning("pci: %u devices are left out: the list has room for %u", search.left_out,
                    PCI_DEVICE_MAX);
    }
    log_info("pci: %u devices on %u bus%s, configuration space by %s", device_count, search.reached,
             search.reached == 1 ? "" : "es", pci_access_name());
}
