// SPDX-License-Identifier: MIT
/* Code that is written while the machine runs, into memory that holds none yet: images of
 * dispatchers, generated programs. Invariant: such memory is text like any other, never writable at
 * its own address; whoever writes it knows that no CPU executes it and no thread will return there
 * (a grace period, platform_synchronize()). Callers: dispatcher.c, net/program_code.c. */
#pragma once

#include "patching/status.h"

#include <stddef.h>
#include <stdint.h>

/* Writes @length bytes of code to @address, text that nobody executes. Takes the patch lock.
 * Context: platform_may_patch(); patch lock not held.
 * Ordering: on PATCH_OK every CPU has executed a serialising instruction behind the writes: whoever
 * learns of the code afterwards, from text or from data, executes it as written.
 * Returns PATCH_ERR_NOT_TEXT if it is not patchable text, PATCH_ERR_WRITE, PATCH_ERR_SILENT_CPU or
 * PATCH_ERR_CONTEXT; then the memory holds any mixture, and @error (may be NULL) names the
 * culprit. */
PATCH_MUST_CHECK enum patch_status generated_text_write(uint64_t address, const uint8_t *bytes,
                                                        size_t length, struct patch_error *error);

/* The same with int3 all over, so that whoever gets there is found out. */
PATCH_MUST_CHECK enum patch_status generated_text_erase(uint64_t address, size_t length,
                                                        struct patch_error *error);
