// SPDX-License-Identifier: MIT
/* The one way to write kernel text: a private, temporary mapping. Invariant: it exists only in a
 * page-table root that one CPU loads with interrupts off between open and close, so no other CPU
 * ever sees writable text; NMIs are harmless because that root shares the whole kernel half.
 * Caller: the kernel's implementation of patching/platform.h, under the patch lock. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Turns interrupts off and loads the private root. Not nestable; one CPU at a time (patch lock). */
void text_window_open(void);

/* Writes @length bytes at @text_address, which lies in the kernel's text; may cross a page. Returns
 * false if the bytes read back through the text's own mapping differ. Ordering: a single byte is
 * one store. Does not serialise: sync_cores_others() does. */
bool text_window_write(void *text_address, const void *bytes, size_t length);

/* The same for the aligned quadword at @text_address, with one store. */
bool text_window_write_quadword(uint64_t *text_address, uint64_t value);

/* Unmaps what was touched, loads the kernel root, restores interrupts. */
void text_window_close(void);
