// SPDX-License-Identifier: MIT
/* What the loops of `bench calls` call. Invariant: in a file of its own, without optimisation
 * across files, so that no compiler knows at the call what the target does. Called by:
 * bench_call_loops.c. */
#include "bench/bench_call_loops.h"
#include "patching/nopatch.h"

PATCH_NO_ENTRY uint64_t call_target(uint64_t argument)
{
    return argument;
}

uint64_t call_target_entry(uint64_t argument)
{
    return argument;
}

/* The least that an additional call and return can be; a C function adds its stack frame. */
__asm__(".pushsection .text, \"ax\", @progbits\n\t"
        ".balign 16, 0xcc\n\t"
        ".globl call_target_wrapper\n\t"
        ".type call_target_wrapper, @function\n"
        "call_target_wrapper:\n\t"
        "call call_target\n\t"
        "ret\n\t"
        ".size call_target_wrapper, . - call_target_wrapper\n\t"
        ".popsection");
