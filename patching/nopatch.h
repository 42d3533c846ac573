// SPDX-License-Identifier: MIT
/* Marks for functions that must not be traced, or not be patched at all. Invariant: what carries
 * PATCH_NOPATCH lies in .text.nopatch, where tools/check_nopatch.py proves that it calls nothing
 * outside. Files that lie there whole need no mark: partial.ld lists them, and the Makefile takes
 * from that list who is compiled without entries. Used by: patching/, arch/, boot/, kernel/. */
#pragma once

/* No nop at the entry: function_trace.h never lists the function. For functions that a CPU runs
 * before it can take a breakpoint, and for those whose own first bytes are patched. */
#define PATCH_NO_ENTRY __attribute__((patchable_function_entry(0)))

/* In .text.nopatch, and not inlined into text that is not. */
#define PATCH_NOPATCH __attribute__((section(".text.nopatch"), noinline)) PATCH_NO_ENTRY
