// SPDX-License-Identifier: MIT
/* Registers of configuration space ("Configuration Space Header", PCI Local Bus 3.0, chapter 6, and
 * PCI-to-PCI Bridge Architecture 1.2, chapter 3). For pci_*.c; drivers use pci.h. */
#pragma once

#define PCI_VENDOR           0x00u
#define PCI_ID               0x02u
#define PCI_COMMAND          0x04u
#define PCI_STATUS           0x06u
#define PCI_REVISION         0x08u /* the class code in the three bytes behind it */
#define PCI_HEADER_TYPE      0x0eu
#define PCI_BAR0             0x10u
#define PCI_SECONDARY_BUS    0x19u /* bridges */
#define PCI_SUBSYSTEM_VENDOR 0x2cu
#define PCI_SUBSYSTEM        0x2eu
#define PCI_CAPABILITIES     0x34u
#define PCI_INTERRUPT_LINE   0x3cu
#define PCI_INTERRUPT_PIN    0x3du
#define PCI_HEADER_END       0x40u /* capabilities lie behind it */

#define PCI_NO_VENDOR 0xffffu

#define PCI_COMMAND_PORTS    (1u << 0)
#define PCI_COMMAND_MEMORY   (1u << 1)
#define PCI_COMMAND_MASTER   (1u << 2)
#define PCI_COMMAND_NO_INTX  (1u << 10)
#define PCI_STATUS_INTERRUPT (1u << 3) /* INTx is asserted, forbidden or not */
#define PCI_STATUS_HAS_LIST  (1u << 4)
#define PCI_HEADER_FUNCTIONS 0x80u /* more than one */
#define PCI_HEADER_KIND      0x7fu
#define PCI_HEADER_DEVICE    0u
#define PCI_HEADER_BRIDGE    1u

#define PCI_CAPABILITY_MSI  0x05u
#define PCI_CAPABILITY_MSIX 0x11u

#define PCI_CLASS_SHIFT   16 /* of the class proper in struct pci_device's class_code */
#define PCI_CLASS_NETWORK 0x02u
