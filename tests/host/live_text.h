// SPDX-License-Identifier: MIT
/* Text of the live platform. Invariant: at its own address it is readable and executable, never
 * writable; it is written through a second mapping of the same memory. Used by: live.c,
 * live_sites.c, test_live_platform.c, tests/silicon. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* Puts the program's own text into such memory, in place. Returns NULL, or what failed (errno). */
const char *live_text_adopt_own(void);

/* Returns @length bytes of fresh text (whole pages, zero, taken up only as they are written), or
 * NULL and errno. It stays until the program ends. */
uint8_t *live_text_create(size_t length);

/* Where the @length bytes of text at @address can be written; NULL if they are not all text. */
void *live_text_writable(const void *address, size_t length);
