// SPDX-License-Identifier: MIT
/* The list of capabilities ("Capabilities List", PCI Local Bus 3.0, 6.7). Invariant: each place is
 * looked at once, so a list that leads back into itself ends, and so does a caller who asks for one
 * after the other. Callers: pci_interrupts.c, drivers. */
#include "drivers/pci.h"
#include "drivers/pci_registers.h"

#define OFFSET_MASK 0xfcu /* the two lowest bits are reserved */

unsigned pci_find_capability(const struct pci_device *device, uint8_t id, unsigned after)
{
    uint64_t seen = 0; /* a bit for each aligned offset below 256 */
    bool is_behind = after == 0;
    unsigned at;

    if (!(pci_read16(device, PCI_STATUS) & PCI_STATUS_HAS_LIST)) {
        return 0;
    }
    at = pci_read8(device, PCI_CAPABILITIES) & OFFSET_MASK;
    while (at >= PCI_HEADER_END && !(seen & 1ull << at / 4)) {
        seen |= 1ull << at / 4;
        if (is_behind && pci_read8(device, at) == id) {
            return at;
        }
        is_behind = is_behind || at == after;
        at = pci_read8(device, at + 1) & OFFSET_MASK;
    }
    return 0;
}
