// SPDX-License-Identifier: MIT
/* What a NIC driver needs of the rest of the kernel, for host tests that attach a whole driver:
 * memory that is counted, time that passes when it is looked at, interrupts and net/ that remember
 * what they were told. Invariant: whatever is taken is known until it is given back. Used with
 * fake_pci.c, fake_pool.c and net_overlay/ by drivers_virtio_pci_*.c and drivers_e1000_reset.c. */
#pragma once

#include "drivers/pci.h"
#include "net/net_device.h"

#include <stdbool.h>

extern unsigned fake_nic_memory; /* heap blocks, runs of pages and pools that are not given back */
extern unsigned fake_nic_memory_refused; /* the how manieth request fails, from 1 on; 0: none */
extern enum pci_interrupt_kind fake_nic_interrupt_kind;
extern unsigned fake_nic_vectors; /* that a device gets at most */
extern bool fake_nic_interrupts_chosen;
extern bool fake_nic_register_fails;
extern unsigned fake_nic_handler_waits;    /* until no handler runs; one is run in each */
extern struct net_device *fake_nic_device; /* registered; NULL: none */
extern const char *fake_nic_failure;       /* by net_device_fail() */
/* Asked of each run of pages that is given back; may be NULL. */
extern bool (*fake_nic_is_used_by_device)(uint64_t physical, uint64_t bytes);
extern bool fake_nic_freed_under_device;
extern bool fake_nic_freed_under_handlers; /* that could still run */

/* All as it is at first; interrupts by MSI-X. */
void fake_nic_kernel_start(void);

/* Runs the handler of vector @index. */
bool fake_nic_interrupt(unsigned index);

/* Packets of the registered device's pool that are neither in it nor in a ring. */
int fake_nic_packets_lost(void);

/* Throws away what an attached driver has: there is no way to detach one. */
void fake_nic_kernel_end(void);
