// SPDX-License-Identifier: MIT
/* The end: says what broke, where every CPU stands, and stops the machine. Invariant: runs without
 * locks, allocation or patchable code, so it works from any context and with any lock held. All of
 * it lies in .text.nopatch; tools/check_nopatch.py proves it. */
#pragma once

#include <stdint.h>

struct trap_frame;

/* Prints the message, this CPU's registers and backtrace, stops the other CPUs by NMI and prints
 * their backtraces, ends QEMU with status 35; halts where there is no QEMU. Context: any. */
_Noreturn void panic(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The same for a trap nobody handles: registers are those of the interrupted code. */
_Noreturn void panic_from_trap(const struct trap_frame *frame, const char *what);
