// SPDX-License-Identifier: MIT
/* What struct patch_error says, for people: the reason and the culprit in one line. Called by
 * commands and benches. */
#pragma once

#include <stddef.h>

#include "patching/status.h"

#define PATCH_ERROR_TEXT_MAX 256
#define PATCH_BYTES_TEXT_MAX (2 * PATCH_SITE_LENGTH_MAX + 1)

/* Writes the line, without the key's name: "cpu 2 does not answer; text was put back", "current
 * bytes differ from the expected ones: 0xffffffff80123456 (f+0x12), expected 6690, found cc90".
 * Returns @text. Context: any. */
const char *patch_error_text(const struct patch_error *error, char text[PATCH_ERROR_TEXT_MAX]);

/* Writes @length bytes as hexadecimal digits. Returns @text. Context: any. */
const char *patch_bytes_text(const uint8_t *bytes, size_t length, char text[PATCH_BYTES_TEXT_MAX]);
