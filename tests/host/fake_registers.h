// SPDX-License-Identifier: MIT
/* Registers that react, for host tests of drivers that are built as they are: the driver's view of
 * them may not be touched, so each access is a fault; the device then makes up what is read, the
 * instruction is stepped over, and the device sees what was written. Invariant: there is one device
 * at a time, and its functions run between the driver's instructions, never in the middle of one.
 * What lies outside the registers stays a fault that ends the test. Used by
 * drivers_virtio_pci_*.c and drivers_e1000_reset.c. */
#pragma once

#include <stdint.h>

/* Makes registers of @bytes, all 0: on each access @access(offset) runs before it, on each write
 * @written(offset) after it. Returns the driver's view; *@device: the device's, that it may touch.
 */
void *fake_registers_make(uint32_t bytes, void (*access)(uint32_t offset),
                          void (*written)(uint32_t offset), uint8_t **device);

/* To be called in each test, before the driver touches them: cmocka has set signal handlers of its
 * own, and sets them again between tests. */
void fake_registers_listen(void);

/* Ends them. */
void fake_registers_end(void);
