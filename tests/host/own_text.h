// SPDX-License-Identifier: MIT
/* The text of the test program itself, made writable so that its own static branches can be
 * patched. Invariant: after own_text_unprotect() text is readable, writable and executable. Called
 * by: keys.c, test_static_key_table.c. (The live platform does better: live_text.h.) */
#pragma once

#include <stdint.h>

uint64_t own_text_start(void);
uint64_t own_text_end(void);

/* Returns 0, or -1 if the kernel refuses. */
int own_text_unprotect(void);
