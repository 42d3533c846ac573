// SPDX-License-Identifier: MIT
/* What static_call.c and static_call_table.c share. Invariant: the tables do not change after
 * static_call_initialize(). */
#pragma once

#include "patching/static_call.h"

/* True once static_call_initialize() has succeeded. */
bool static_call_is_ready(void);

/* The bytes of the trampoline of @call while it goes to @target. Returns PATCH_ERR_RANGE if that is
 * out of reach. */
PATCH_MUST_CHECK enum patch_status static_call_trampoline_encode(const struct static_call *call,
                                                                 static_call_function *target,
                                                                 uint8_t *bytes);

/* The @site->length bytes of a site of @call in @form while it goes to @target. */
PATCH_MUST_CHECK enum patch_status static_call_site_encode(const struct static_call *call,
                                                           const struct call_site *site,
                                                           enum static_call_form form,
                                                           static_call_function *target,
                                                           uint8_t *bytes);
