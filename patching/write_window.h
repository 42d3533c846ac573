// SPDX-License-Identifier: MIT
/* A run of text writes. Invariant: text is open only between the first write and the close, and
 * never for more than PATCH_WINDOW_WRITES writes, because the host may keep interrupts off
 * meanwhile. Used by: the protocols, static_key_table.c. */
#pragma once

#include "patching/platform.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PATCH_WINDOW_WRITES = 256 };

struct write_window { /* all zero = closed */
    unsigned writes;  /* since it was opened */
};

/* Opens the window, after closing it if it was open. Called by the functions below. */
void write_window_reopen(struct write_window *window);

/* Writes @length bytes to text at @address, opening or reopening the window first if need be.
 * Returns false if reading back shows other bytes. */
static inline bool write_window_write(struct write_window *window, uint64_t address,
                                      const uint8_t *bytes, size_t length)
{
    if (window->writes % PATCH_WINDOW_WRITES == 0) {
        write_window_reopen(window);
    }
    window->writes++;
    return platform_text_write((void *)address, bytes, length);
}

/* The same for the aligned quadword at @address, with one store. */
static inline bool write_window_write_quadword(struct write_window *window, uint64_t address,
                                               uint64_t value)
{
    if (window->writes % PATCH_WINDOW_WRITES == 0) {
        write_window_reopen(window);
    }
    window->writes++;
    return platform_text_write_quadword((uint64_t *)address, value);
}

/* Closes the window, if it is open. */
void write_window_close(struct write_window *window);
