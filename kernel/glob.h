// SPDX-License-Identifier: MIT
/* Patterns for names: `*` any characters, `?` one, `[a-z_]` one of these, `[!a-z]` one of the
 * others; whatever else stands for itself. Invariant: no allocation, no recursion; time is at most
 * the product of both lengths. Pure. Called by commands. */
#pragma once

#include <stdbool.h>

/* False if a `[` lacks its `]`. A `]` right behind `[` or `[!` stands for itself. */
bool glob_is_valid(const char *pattern);

/* Whether all of @text is what @pattern, which is valid, describes. */
bool glob_match(const char *pattern, const char *text);
