// SPDX-License-Identifier: MIT
/* Base address registers; pci_map_bar() stands in pci.h. Callers: pci_bus.c, host tests. */
#pragma once

#include "drivers/pci.h"

/* What @low, and @high of a 64-bit one, say: the address registers as found, and @low_sized and
 * @high_sized as read back after all ones were written. An unused one gives size 0. Returns false
 * if they contradict themselves; *@bar is then as if there were none. */
bool pci_bar_decode(uint32_t low, uint32_t high, uint32_t low_sized, uint32_t high_sized,
                    struct pci_bar *bar);

/* Fills in device->bars from the first @count registers; says which make no sense. Each is as
 * before on return; the device does not decode memory nor ports meanwhile. */
void pci_bars_read(struct pci_device *device, unsigned count);
