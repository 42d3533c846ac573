// SPDX-License-Identifier: MIT
/* QEMU's isa-debug-exit device. Invariant: calls nothing; part of .text.nopatch. Called by `exit`
 * and by panic. */
#pragma once

#include <stdint.h>

#define DEBUG_EXIT_SUCCESS 16u /* QEMU ends with status 2 * 16 + 1 = 33 */
#define DEBUG_EXIT_FAILURE 17u /* 35 */

/* Ends QEMU with status 2 * @value + 1. Returns if there is no such device. Context: any. */
void debug_exit(uint32_t value);
