// SPDX-License-Identifier: MIT
/* All drivers of network cards, in one list. Called by kernel/main.c. */
#pragma once

#include "drivers/pci.h"

extern const struct pci_driver virtio_net_driver, e1000_driver, e1000e_driver;

/* Attaches a driver to every network card there is. Returns their number. Context: first thread,
 * after pci_initialize(). */
unsigned nics_attach(void);
