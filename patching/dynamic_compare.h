// SPDX-License-Identifier: MIT
/* The comparisons of a dynamic call's slot as something that is patched. Invariant: all of a slot
 * hold what slot->compared says. Callers: dynamic_call.c, dynamic_call_table.c. */
#pragma once

#include "patching/dynamic_call.h"
#include "patching/transaction.h"

/* In place of a value: the comparison reads slot->value. */
#define DYNAMIC_COMPARED_MEMORY 0ull

/* The bytes of a comparison of @slot at @address with @compared. Returns PATCH_ERR_RANGE if that is
 * no sign-extended 32-bit value, or the slot is out of reach. */
PATCH_MUST_CHECK enum patch_status dynamic_compare_encode(const struct dynamic_call_slot *slot,
                                                          uint64_t address, uint64_t compared,
                                                          uint8_t bytes[PATCH_SITE_LENGTH_MAX]);

/* All comparisons of @slot with @compared, as part of a transaction. */
struct patch_change dynamic_compare_change_to(struct dynamic_call_slot *slot, uint64_t compared);
