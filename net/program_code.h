// SPDX-License-Identifier: MIT
/* The code of generated programs. Pure: bytes from a number, no text is written. Program N:
 *
 *     counts its run in its data, by queue
 *     UDP over IPv4, no later fragment, the port inside the frame?     else pass
 *     destination port PROGRAM_CODE_FIRST_PORT + N: drop, else pass
 *
 * Invariant: the code reads the packet's fields and bytes of its frame alone, writes its slot of
 * the data alone, clobbers rax, rcx, rdx and flags, calls nothing and ends at a ret. Callers:
 * program_generate.c, tests/host. */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    PROGRAM_CODE_BYTES = 128, /* room for one */
    PROGRAM_CODE_FIRST_PORT = 9000,
};

/* Writes program @number to @bytes. Returns its length. Context: any. */
size_t program_code_generate(uint32_t number, uint8_t bytes[PROGRAM_CODE_BYTES]);
