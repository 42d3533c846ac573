// SPDX-License-Identifier: MIT
/* Indirect calls and jumps through every thunk of patching/indirect_thunk.asm, and the order in
 * which mitigations are switched. Invariant: a branch that does not arrive is counted, or never
 * comes back. Callers: suite_mitigation.c, torture_everything.c. */
#pragma once

#include <stdint.h>

#include "patching/indirect_thunk.h"

#define THUNK_COUNT 15

/* A call through each thunk, and a jump after each; @first chooses the targets. Returns how many
 * did not arrive. */
uint64_t thunk_pass(unsigned first);

/* From each mitigation to each other one, beginning and ending with that of boot. */
#define THUNK_SWITCHES 6
extern const enum mitigation thunk_switches[THUNK_SWITCHES];
