// SPDX-License-Identifier: MIT
/* Reading and writing configuration space: in memory (ECAM, "PCI Express Enhanced Configuration
 * Access Mechanism", PCI Express Base 3.0, 7.2.2) or through ports CF8/CFC ("Configuration
 * Mechanism #1", PCI Local Bus 3.0, 3.2.2.3.2). Invariant: what cannot be reached reads as all ones
 * and swallows writes, as an empty slot does. Callers: pci_*.c and drivers, through pci.h. */
#include "drivers/pci_access.h"

#include "arch/acpi.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "drivers/pci.h"
#include "drivers/pci_registers.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"

#define BUSES          256u
#define ECAM_BUS_SIZE  (1ull << 20)
#define ECAM_SPACE     4096u /* bytes of one function */
#define PORT_SPACE     256u
#define PORT_ADDRESS   0xcf8
#define PORT_DATA      0xcfc
#define ADDRESS_ENABLE (1u << 31)

enum access { ACCESS_NONE, ACCESS_PORTS, ACCESS_ECAM };

static struct spinlock ports_lock = SPINLOCK("pci ports"); /* address and data are a pair */
/* written once at boot: */
static enum access access;
static volatile uint8_t *ecam_buses[BUSES]; /* NULL: not mapped */

const char *pci_access_name(void)
{
    static const char *const names[] = {"none", "ports", "ecam"};

    return names[access];
}

/* Mapped a bus at a time: all 256 would cost half a megabyte of page tables. */
bool pci_access_open_bus(unsigned bus)
{
    const struct acpi_facts *facts = acpi_facts();

    if (access != ACCESS_ECAM || ecam_buses[bus] != NULL) {
        return access != ACCESS_NONE;
    }
    if (bus < facts->ecam_first_bus || bus > facts->ecam_last_bus) {
        log_warning("pci: bus %u is not seen: ACPI's ECAM is for buses %u to %u", bus,
                    facts->ecam_first_bus, facts->ecam_last_bus);
        return false;
    }
    ecam_buses[bus] = paging_map_device(facts->ecam_address + bus * ECAM_BUS_SIZE, ECAM_BUS_SIZE);
    if (ecam_buses[bus] == NULL) {
        log_warning("pci: bus %u is not seen: no memory to map its ECAM", bus);
    }
    return ecam_buses[bus] != NULL;
}

/* Where ECAM shows @offset of the device; NULL: not reachable. */
static volatile void *ecam_at(const struct pci_device *device, unsigned offset)
{
    volatile uint8_t *bus = ecam_buses[device->bus];

    if (bus == NULL || offset >= ECAM_SPACE) {
        return NULL;
    }
    return bus + (device->device << 15 | device->function << 12 | offset);
}

/* Chooses the register behind the data port. Returns the port of @offset, or 0 with the lock not
 * taken. */
static uint16_t ports_select(const struct pci_device *device, unsigned offset, uint64_t *flags)
{
    if (access != ACCESS_PORTS || offset >= PORT_SPACE) {
        return 0;
    }
    *flags = spinlock_lock_save(&ports_lock);
    out32(PORT_ADDRESS, ADDRESS_ENABLE | (uint32_t)device->bus << 16 |
                            (uint32_t)device->device << 11 | (uint32_t)device->function << 8 |
                            (offset & ~3u));
    return (uint16_t)(PORT_DATA + (offset & 3));
}

/* pci_readN() and pci_writeN(): they differ in the width alone. */
#define DEFINE_ACCESS(bits)                                                                        \
    uint##bits##_t pci_read##bits(const struct pci_device *device, unsigned offset)                \
    {                                                                                              \
        uint##bits##_t value = UINT##bits##_MAX;                                                   \
        uint64_t flags;                                                                            \
                                                                                                   \
        if (access == ACCESS_ECAM) {                                                               \
            volatile uint##bits##_t *at = ecam_at(device, offset);                                 \
                                                                                                   \
            return at != NULL ? *at : value;                                                       \
        }                                                                                          \
        uint16_t port = ports_select(device, offset, &flags);                                      \
                                                                                                   \
        if (port != 0) {                                                                           \
            value = in##bits(port);                                                                \
            spinlock_unlock_restore(&ports_lock, flags);                                           \
        }                                                                                          \
        return value;                                                                              \
    }                                                                                              \
                                                                                                   \
    void pci_write##bits(const struct pci_device *device, unsigned offset, uint##bits##_t value)   \
    {                                                                                              \
        uint64_t flags;                                                                            \
                                                                                                   \
        if (access == ACCESS_ECAM) {                                                               \
            volatile uint##bits##_t *at = ecam_at(device, offset);                                 \
                                                                                                   \
            if (at != NULL) {                                                                      \
                *at = value;                                                                       \
            }                                                                                      \
            return;                                                                                \
        }                                                                                          \
        uint16_t port = ports_select(device, offset, &flags);                                      \
                                                                                                   \
        if (port != 0) {                                                                           \
            out##bits(port, value);                                                                \
            spinlock_unlock_restore(&ports_lock, flags);                                           \
        }                                                                                          \
    }

DEFINE_ACCESS(8)
DEFINE_ACCESS(16)
DEFINE_ACCESS(32)

/* The address register of mechanism #1 holds what was written; without one nothing does. */
static bool ports_exist(void)
{
    out32(PORT_ADDRESS, ADDRESS_ENABLE);
    return in32(PORT_ADDRESS) == ADDRESS_ENABLE;
}

/* A wrong address in the MCFG would show whatever lies there as devices: where there are ports too,
 * both must show the same host bridge. */
void pci_access_initialize(void)
{
    static const struct pci_device host_bridge;
    const struct acpi_facts *facts = acpi_facts();
    bool has_ports = ports_exist();
    uint32_t by_ports, by_ecam;

    access = has_ports ? ACCESS_PORTS : ACCESS_NONE;
    if (facts->ecam_address == 0) {
        return;
    }
    by_ports = pci_read32(&host_bridge, PCI_VENDOR);
    access = ACCESS_ECAM;
    if (pci_access_open_bus(0)) {
        by_ecam = pci_read32(&host_bridge, PCI_VENDOR);
        if (!has_ports || by_ecam == by_ports) {
            return;
        }
        log_warning("pci: ECAM at 0x%llx shows 0x%08x, ports show 0x%08x: using ports",
                    (unsigned long long)facts->ecam_address, by_ecam, by_ports);
    }
    access = has_ports ? ACCESS_PORTS : ACCESS_NONE;
}
