// SPDX-License-Identifier: MIT
/* Devices and their drivers. Invariant: a device has at most one driver, and one that no driver has
 * taken after asking it for something decodes, transfers and interrupts no more. Called by nics.c;
 * pci_enable() and pci_disable() by drivers. */
#include "drivers/pci.h"
#include "drivers/pci_registers.h"
#include "kernel/log.h"

#define DECODE_AND_MASTER (PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

void pci_enable(const struct pci_device *device)
{
    uint16_t command = pci_read16(device, PCI_COMMAND);

    pci_write16(device, PCI_COMMAND,
                (uint16_t)((command | DECODE_AND_MASTER) & ~PCI_COMMAND_NO_INTX));
}

void pci_disable(const struct pci_device *device)
{
    uint16_t command = pci_read16(device, PCI_COMMAND);

    pci_write16(device, PCI_COMMAND,
                (uint16_t)((command & ~DECODE_AND_MASTER) | PCI_COMMAND_NO_INTX));
}

static bool driver_knows(const struct pci_driver *driver, const struct pci_device *device)
{
    for (const struct pci_id *known = driver->ids; known->vendor != 0; known++) {
        if (known->vendor == device->vendor && known->id == device->id) {
            return true;
        }
    }
    return false;
}

static bool driver_try(const struct pci_driver *driver, struct pci_device *device)
{
    if (driver->attach(device)) {
        device->driver = driver->name;
        return true;
    }
    log_warning("pci: %s: driver %s does not take it", device->location, driver->name);
    pci_interrupts_release(device);
    pci_disable(device);
    return false;
}

static bool device_offer(struct pci_device *device, const struct pci_driver *const *drivers)
{
    for (; device->driver == NULL && *drivers != NULL; drivers++) {
        if (driver_knows(*drivers, device) && driver_try(*drivers, device)) {
            return true;
        }
    }
    return false;
}

unsigned pci_attach_drivers(const struct pci_driver *const *drivers)
{
    unsigned attached = 0;

    for (unsigned i = 0; i < pci_device_count(); i++) {
        attached += device_offer(pci_device_at(i), drivers) ? 1 : 0;
    }
    return attached;
}
