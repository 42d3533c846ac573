// SPDX-License-Identifier: MIT
/* What the terminal shows of the line being typed, and the characters that change it. Invariant:
 * after its output is written behind the prompt, the terminal shows text and cursor as given. Pure:
 * called by kernel/console.c under the console, and by host tests. Terminal control used: backspace
 * (cursor left), ESC [ K (erase to the end of the line). A line that is wider than the terminal is
 * edited correctly only at its end. */
#pragma once

#include <stddef.h>

#define LINE_VIEW_MAX        511 /* characters of text */
#define LINE_VIEW_OUTPUT_MAX (3 * LINE_VIEW_MAX + 4)

struct line_view {
    size_t length;
    size_t cursor;
    char text[LINE_VIEW_MAX];
};

/* Makes the view show @text with the cursor before text[cursor]; only what differs is written to
 * @output, which holds LINE_VIEW_OUTPUT_MAX bytes. Returns how many were written. */
size_t line_view_change(struct line_view *view, const char *text, size_t length, size_t cursor,
                        char *output);

/* Writes the whole line, as behind a fresh prompt. */
size_t line_view_redraw(const struct line_view *view, char *output);
