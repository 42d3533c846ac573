// SPDX-License-Identifier: MIT
/* QEMU's isa-debug-exit: a write ends the emulator. Called by `exit` and by panic, from
 * .text.nopatch. */
#include "drivers/debug_exit.h"

#include "arch/instructions.h"

#define DEBUG_EXIT_PORT 0xf4

void debug_exit(uint32_t value)
{
    out32(DEBUG_EXIT_PORT, value);
}
