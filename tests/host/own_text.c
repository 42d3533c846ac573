// SPDX-License-Identifier: MIT
/* See own_text.h. */
#include "tests/host/own_text.h"

#include <sys/mman.h>

extern const char __executable_start[], etext[]; /* GNU ld */

uint64_t own_text_start(void)
{
    return (uint64_t)__executable_start;
}

uint64_t own_text_end(void)
{
    return (uint64_t)etext;
}

int own_text_unprotect(void)
{
    uint64_t start = own_text_start() & ~(uint64_t)4095;

    return mprotect((void *)start, own_text_end() - start, PROT_READ | PROT_WRITE | PROT_EXEC);
}
