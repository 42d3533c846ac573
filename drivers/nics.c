// SPDX-License-Identifier: MIT
/* The list of network drivers. Invariant: a driver stands here or is not used; a card without one
 * is named in the log. Called by kernel/main.c. */
#include "drivers/nics.h"

#include "drivers/pci_registers.h"
#include "kernel/log.h"

#include <stddef.h>

static const struct pci_driver *const drivers[] = {
    &virtio_net_driver,
    &e1000_driver,
    &e1000e_driver,
    NULL,
};

/* Returns how many network cards there are, and names those without a driver. */
static unsigned cards_count(void)
{
    unsigned cards = 0;

    for (unsigned i = 0; i < pci_device_count(); i++) {
        const struct pci_device *device = pci_device_at(i);

        if (device->class_code >> PCI_CLASS_SHIFT != PCI_CLASS_NETWORK) {
            continue;
        }
        cards++;
        if (device->driver == NULL) {
            log_warning("nic: %s (%04x:%04x) is a network card without a driver", device->location,
                        device->vendor, device->id);
        }
    }
    return cards;
}

unsigned nics_attach(void)
{
    unsigned attached = pci_attach_drivers(drivers);

    if (cards_count() == 0) {
        log_info("nic: this machine has no network card");
    }
    return attached;
}
