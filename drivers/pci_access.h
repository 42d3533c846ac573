// SPDX-License-Identifier: MIT
/* How configuration space is reached; reading and writing it stand in pci.h. Callers: pci_bus.c.
 * The host tests put a made-up machine in the place of pci_access.c. */
#pragma once

#include <stdbool.h>

/* Chooses between ECAM, ports and none. Context: first thread, once. */
void pci_access_initialize(void);

/* Makes the configuration space of @bus reachable. Returns false, having said why, if it cannot be.
 * Context: first thread, before anything of that bus is read. */
bool pci_access_open_bus(unsigned bus);
