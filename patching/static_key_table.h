// SPDX-License-Identifier: MIT
/* What static_key.c and static_key_table.c share. Invariant: the tables do not change after
 * static_key_initialize(). */
#pragma once

#include "patching/static_key.h"

/* True once static_key_initialize() has succeeded. */
bool static_key_is_ready(void);

/* The @site->length bytes of @site while its key is @enabled.
 * Returns PATCH_ERR_RANGE or PATCH_ERR_LENGTH if its jump cannot be encoded. */
PATCH_MUST_CHECK enum patch_status static_key_site_encode(const struct static_key_site *site,
                                                          bool enabled, uint8_t *bytes);

/* The key of @site: its pointer without the flag. */
struct static_key *static_key_of_site(const struct static_key_site *site);
