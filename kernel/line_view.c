// SPDX-License-Identifier: MIT
/* What the terminal shows of the line being typed. Invariant: `view` is what has been written to
 * the terminal. Called by kernel/console.c. */
#include "kernel/line_view.h"

#include "kernel/string.h"

static size_t put(char *output, size_t at, const char *text, size_t length)
{
    memcpy(output + at, text, length);
    return at + length;
}

static size_t put_cursor_left(char *output, size_t at, size_t columns)
{
    memset(output + at, '\b', columns);
    return at + columns;
}

static size_t common_prefix(const struct line_view *view, const char *text, size_t length)
{
    size_t common = 0;

    while (common < view->length && common < length && view->text[common] == text[common]) {
        common++;
    }
    return common;
}

size_t line_view_change(struct line_view *view, const char *text, size_t length, size_t cursor,
                        char *output)
{
    size_t same = common_prefix(view, text, length);
    size_t column = view->cursor; /* where the terminal's cursor is */
    size_t used = 0;

    if (same < view->length || same < length) { /* rewrite everything behind what is the same */
        if (column > same) {
            used = put_cursor_left(output, used, column - same);
            column = same;
        }
        used = put(output, used, text + column, length - column);
        column = length;
        if (view->length > length) {
            used = put(output, used, "\033[K", 3);
        }
    }
    if (column > cursor) {
        used = put_cursor_left(output, used, column - cursor);
    } else {
        used = put(output, used, text + column, cursor - column);
    }
    memcpy(view->text, text, length);
    view->length = length;
    view->cursor = cursor;
    return used;
}

size_t line_view_redraw(const struct line_view *view, char *output)
{
    size_t used = put(output, 0, view->text, view->length);

    return put_cursor_left(output, used, view->length - view->cursor);
}
