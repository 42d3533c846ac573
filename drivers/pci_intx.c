// SPDX-License-Identifier: MIT
/* INTx: the shared, level-triggered lines of PCI, through the IOAPIC. Invariant: an interrupt of a
 * line calls every handler of the line; one that nobody owns up to does not come for ever: devices
 * that assert it are silenced, or the line is masked, and the log says so. Called by
 * pci_interrupts.c.
 *
 * Which input of the IOAPIC a pin leads to stands in AML, which is not interpreted here. But the
 * firmware has also wired each pin to an input of the 8259s, the number in the line register, and
 * QEMU's pc and q35 raise the IOAPIC input of that number (through the MADT's override, if any)
 * with it: PIIX3 and ICH9 drive one GSI for both. Only q35 drives a second one, 16 to 23, which
 * stays masked. Polarity: QEMU's MADT overrides lines 5, 9, 10 and 11 as level and high, and lines
 * of others are taken as level and low, as PCI has them; QEMU 7.2's IOAPIC looks at the trigger
 * mode alone, KVM's too. */
#include "arch/apic.h"
#include "arch/interrupt_vectors.h"
#include "drivers/pci_interrupts.h"
#include "drivers/pci_registers.h"
#include "kernel/log.h"

#define LINES 16u /* inputs of the 8259s: what the line register can name */

/* In a row. A few are normal: a device may take its interrupt back meanwhile. */
#define UNCLAIMED_MAX 10000u

struct intx_line {
    struct pci_interrupt_slot *slots; /* atomic; front of the list, which only grows */
    /* by the first thread alone: */
    bool is_open;
    unsigned vector; /* 0: none yet */
    unsigned cpu;
    unsigned unclaimed; /* in a row; by the interrupt alone, which is on one CPU */
};

static struct intx_line lines[LINES];

/* Forbids INTx to devices that assert the line, and names them. Returns how many there are. */
static unsigned culprits_silence(unsigned line)
{
    unsigned silenced = 0;

    for (unsigned i = 0; i < pci_device_count(); i++) {
        const struct pci_device *device = pci_device_at(i);
        uint16_t command = pci_read16(device, PCI_COMMAND);

        if (device->interrupt_pin != 0 && device->interrupt_line == line &&
            !(command & PCI_COMMAND_NO_INTX) &&
            (pci_read16(device, PCI_STATUS) & PCI_STATUS_INTERRUPT)) {
            log_error("pci: %s interrupts line %u without an end: it may no more", device->location,
                      line);
            pci_write16(device, PCI_COMMAND, command | PCI_COMMAND_NO_INTX);
            silenced++;
        }
    }
    return silenced;
}

static void line_note_unclaimed(struct intx_line *line)
{
    unsigned number = (unsigned)(line - lines);

    if (++line->unclaimed < UNCLAIMED_MAX) {
        return;
    }
    line->unclaimed = 0;
    if (culprits_silence(number) == 0) {
        ioapic_mask(number);
        log_error("pci: interrupt line %u: %u interrupts that no device owns up to: masked", number,
                  UNCLAIMED_MAX);
    }
}

static void line_interrupt(void *argument)
{
    struct intx_line *line = argument;
    bool is_claimed = false;

    /* Pairs with the release in pci_intx_route(): without it the slot could be seen before its
     * link to the others, which would go uncalled. */
    for (const struct pci_interrupt_slot *slot = __atomic_load_n(&line->slots, __ATOMIC_ACQUIRE);
         slot != NULL; slot = slot->next_of_line) {
        is_claimed = pci_interrupt_slot_call(slot) || is_claimed;
    }
    if (is_claimed) {
        line->unclaimed = 0;
    } else {
        line_note_unclaimed(line);
    }
}

/* Opens the line, on @cpu, if it is not open. */
static bool line_open(struct intx_line *line, unsigned cpu)
{
    unsigned number = (unsigned)(line - lines);

    if (line->is_open) {
        return true;
    }
    if (line->vector == 0) {
        line->vector = interrupt_vector_allocate(line_interrupt, line);
    }
    if (line->vector == 0) {
        log_warning("pci: interrupt line %u: no vector is left", number);
        return false;
    }
    line->cpu = cpu;
    line->is_open = ioapic_route_level(number, line->vector, cpu);
    return line->is_open;
}

bool pci_intx_route(const struct pci_device *device, unsigned cpu, struct pci_interrupt_slot *slot)
{
    struct intx_line *line = &lines[device->interrupt_line % LINES];

    if (device->interrupt_line >= LINES) {
        log_warning("pci: %s: the firmware has wired INTx to no line (%u)", device->location,
                    device->interrupt_line);
        return false;
    }
    if (!line_open(line, cpu)) {
        return false;
    }
    slot->vector = line->vector;
    slot->next_of_line = line->slots;
    /* Pairs with the acquire in line_interrupt(). */
    __atomic_store_n(&line->slots, slot, __ATOMIC_RELEASE);
    pci_write16(device, PCI_COMMAND,
                (uint16_t)(pci_read16(device, PCI_COMMAND) & ~PCI_COMMAND_NO_INTX));
    if (line->cpu != cpu) {
        log_debug("pci: %s: INTx comes to CPU %u, not %u: line %u is shared", device->location,
                  line->cpu, cpu, device->interrupt_line);
    }
    return true;
}
