// SPDX-License-Identifier: MIT
/* Errors of patching/ as one line; see patch_error_text.h. Invariant: always names what the error
 * names: CPU, site, bytes, the site it collides with. */
#include "kernel/patch_error_text.h"

#include "kernel/format.h"
#include "kernel/symbols.h"

const char *patch_bytes_text(const uint8_t *bytes, size_t length, char text[PATCH_BYTES_TEXT_MAX])
{
    text[0] = '\0';
    for (size_t i = 0; i < length; i++) {
        format_text(text + 2 * i, 3, "%02x", bytes[i]);
    }
    return text;
}

/* Appends ": ADDRESS (symbol)" or the like. Returns the new length. */
static size_t append_place(char *text, size_t used, const char *before, uint64_t address)
{
    char symbol[SYMBOL_TEXT_MAX];

    used +=
        format_text(text + used, PATCH_ERROR_TEXT_MAX - used, "%s0x%llx (%s)", before,
                    (unsigned long long)address, symbol_describe(address, symbol, sizeof(symbol)));
    return used < PATCH_ERROR_TEXT_MAX ? used : PATCH_ERROR_TEXT_MAX - 1;
}

const char *patch_error_text(const struct patch_error *error, char text[PATCH_ERROR_TEXT_MAX])
{
    char expected[PATCH_BYTES_TEXT_MAX];
    char actual[PATCH_BYTES_TEXT_MAX];
    size_t used;

    if (error->status == PATCH_ERR_SILENT_CPU) {
        format_text(text, PATCH_ERROR_TEXT_MAX, "cpu %u does not answer; text was put back",
                    error->cpu);
        return text;
    }
    used = format_text(text, PATCH_ERROR_TEXT_MAX, "%s", patch_status_text(error->status));
    if (error->address != 0) {
        used = append_place(text, used, ": ", error->address);
    }
    if (error->other != 0) {
        used = append_place(text, used, " and ", error->other);
    }
    if (error->length != 0) {
        format_text(text + used, PATCH_ERROR_TEXT_MAX - used, ", expected %s, found %s",
                    patch_bytes_text(error->expected, error->length, expected),
                    patch_bytes_text(error->actual, error->length, actual));
    }
    return text;
}
