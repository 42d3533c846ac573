// SPDX-License-Identifier: MIT
/* A console for host tests: keeps what is printed. Invariant: `fake_console_text` is everything
 * since the last reset. Used by the kernel_*.c tests of code that prints. */
#pragma once

extern char fake_console_text[65536];

void fake_console_reset(void);
