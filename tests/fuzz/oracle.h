// SPDX-License-Identifier: MIT
/* What bytes mean according to Zydis, a decoder that shares nothing with ours, and which of those
 * instructions patching/instruction.h documents. Invariant: knows no encoding that is not written
 * down in that header. Used by: both fuzzers. */
#pragma once

#include "patching/instruction.h"

#include <stdbool.h>

/* True if the @length bytes at @address are one documented instruction; then @instruction is it. */
bool oracle_decode(const uint8_t *bytes, size_t length, uint64_t address,
                   struct instruction *instruction);

/* True for jmp, jcc and call of an address; the other one also for comparisons, and for calls of
 * what a word holds. */
bool oracle_has_target(enum instruction_kind kind);
bool oracle_has_operand(enum instruction_kind kind);
