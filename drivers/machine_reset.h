// SPDX-License-Identifier: MIT
/* Resetting the whole machine. Invariant: does not return. Called by the `reboot` command. */
#pragma once

/* Tries the keyboard controller, the chipset's reset register, and a triple fault, in this order.
 * Other CPUs run on until the reset. Context: any. */
_Noreturn void machine_reset(void);
