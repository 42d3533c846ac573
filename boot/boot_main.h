// SPDX-License-Identifier: MIT
/* The first C code. Invariant: traps work before anything that could fault runs. Entered from
 * start.asm only. */
#pragma once

#include <stdint.h>

/* Boot CPU: @magic and @information (physical) as the loader left them. */
_Noreturn void boot_main(uint32_t magic, uint64_t information);
