// SPDX-License-Identifier: MIT
/* PCI: finding devices, their registers (BARs) and their interrupts. Configuration space is reached
 * through ECAM where ACPI tells of it (MCFG), else through ports CF8/CFC. Invariant: the list is
 * made once at boot and never changes; nothing is written to a device but what its driver asks for
 * (sizing a BAR restores it with decoding off meanwhile).
 *
 * Not done: assigning BARs or bus numbers (the firmware has), hot plug, power management, segments
 * other than 0, interrupt routing by AML: INTx uses the line register that the firmware filled in.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PCI_BAR_MAX    6
#define PCI_DEVICE_MAX 64

struct pci_bar {
    uint64_t address; /* 0 with size 0: not there; the upper half of a 64-bit one also */
    uint64_t size;
    bool is_port;
    bool is_64bit;
};

struct pci_device {
    uint8_t bus, device, function;
    uint8_t interrupt_line, interrupt_pin; /* pin 0: none; line 0xff: not routed */
    uint16_t vendor, id;
    uint16_t subsystem_vendor, subsystem;
    uint32_t class_code; /* 24 bits: class, subclass, interface */
    uint8_t revision;
    char location[16]; /* "00:03.0" */
    struct pci_bar bars[PCI_BAR_MAX];
    const char *driver;                /* NULL: none took it */
    struct pci_interrupts *interrupts; /* pci_interrupts.c */
};

/* Finds every device behind every bridge. Context: first thread, once. */
void pci_initialize(void);

/* How configuration space is reached: "ecam", "ports" or "none". */
const char *pci_access_name(void);
unsigned pci_device_count(void);
struct pci_device *pci_device_at(unsigned index);

/* Configuration space, @offset naturally aligned, below 256 (4096 with ECAM; beyond what can be
 * reached reads are all ones and writes are lost). Context: any but NMI. */
uint8_t pci_read8(const struct pci_device *device, unsigned offset);
uint16_t pci_read16(const struct pci_device *device, unsigned offset);
uint32_t pci_read32(const struct pci_device *device, unsigned offset);
void pci_write8(const struct pci_device *device, unsigned offset, uint8_t value);
void pci_write16(const struct pci_device *device, unsigned offset, uint16_t value);
void pci_write32(const struct pci_device *device, unsigned offset, uint32_t value);

/* The first capability @id behind @after (0: from the start); 0: none. A list that loops ends. */
unsigned pci_find_capability(const struct pci_device *device, uint8_t id, unsigned after);

/* Maps [offset, offset + length) of a memory BAR, wherever it lies in 64 bits. Returns NULL, having
 * said why, if the BAR is none, is too small or cannot be mapped. Context: thread. */
volatile void *pci_map_bar(const struct pci_device *device, unsigned bar, uint64_t offset,
                           uint64_t length);

/* Lets the device decode its memory, start transfers of its own (bus master) and raise INTx / stops
 * all three. */
void pci_enable(const struct pci_device *device);
void pci_disable(const struct pci_device *device);

/* Interrupts. A handler returns whether the interrupt was its device's: INTx lines are shared.
 * Context of the handler: interrupt. */
typedef bool pci_interrupt_handler(void *argument);

enum pci_interrupt_kind {
    PCI_INTERRUPT_NONE,
    PCI_INTERRUPT_INTX,
    PCI_INTERRUPT_MSI,
    PCI_INTERRUPT_MSIX,
    PCI_INTERRUPT_KINDS
};
const char *pci_interrupt_kind_name(enum pci_interrupt_kind kind); /* "none", "intx", ... */

/* Chooses the best kind that has at least one vector: MSI-X, MSI (one vector), INTx, none; and
 * *@count, at most @wanted, of vectors: those of MSI-X, else 1 (0 for none). All stay masked. Lets
 * the device decode its memory, where the MSI-X table lies; pci_enable() is still the driver's to
 * call: without it no message is sent. Context: first thread, once until released. */
enum pci_interrupt_kind pci_interrupts_choose(struct pci_device *device, unsigned wanted,
                                              unsigned *count);

/* Routes vector @index of the device to @handler(argument) on @cpu, unmasked; once an index. An
 * INTx line that another device has already routed stays on that one's CPU. Returns false, having
 * said why, if no CPU vector is left, INTx has no line, or devices cannot address the CPU.
 * Context: first thread. */
bool pci_interrupt_route(struct pci_device *device, unsigned index, unsigned cpu,
                         pci_interrupt_handler *handler, void *argument);

/* Masks all interrupts of the device for good. When it returns, no handler of the device runs nor
 * will: a driver that gives up calls it before it frees what its handlers use. A driver may choose
 * again. Context: thread, interrupts on, no lock held. */
void pci_interrupts_release(struct pci_device *device);

/* A driver for devices of one kind: attach() returns false, having said why, if it cannot use the
 * device, which is then left disabled. */
struct pci_driver {
    const char *name;
    const struct pci_id {
        uint16_t vendor, id;
    } * ids; /* ended by vendor 0 */
    bool (*attach)(struct pci_device *device);
};

/* Offers every device to the drivers (NULL-ended). Returns how many were attached. */
unsigned pci_attach_drivers(const struct pci_driver *const *drivers);
