// SPDX-License-Identifier: MIT
/* Return addresses of a kernel stack. Invariant: reads nothing but mapped kernel stack words, so
 * that it is safe on a broken stack and inside NMI; .text.nopatch. Callers: nmi.c, panic, warnings.
 */
#pragma once

#include <stdint.h>

/* Follows the frame chain from @frame_pointer (a value of RBP) and stores up to @limit return
 * addresses, innermost first. Returns their number. */
unsigned backtrace_walk(uint64_t frame_pointer, uint64_t *addresses, unsigned limit);
