// SPDX-License-Identifier: MIT
/* Splitting text into commands and words. Invariant: the write position never overtakes the read
 * position. Called by the shell, its completion and the kernel command line. */
#include "kernel/words.h"

#include <stdbool.h>
#include <stddef.h>

static bool is_blank(char character)
{
    return character == ' ' || character == '\t' || character == '\r' || character == '\n';
}

/* Follows quotes and backslashes through text. */
struct quoting {
    char quote; /* the open quote, or 0 */
    bool escaped;
};

/* Returns whether @character stands for itself: it is neither a quote mark nor a backslash that
 * works. */
static bool quoting_step(struct quoting *quoting, char character)
{
    if (quoting->escaped) {
        quoting->escaped = false;
        return true;
    }
    if (character == '\\' && quoting->quote != '\'') {
        quoting->escaped = true;
        return false;
    }
    if (quoting->quote == 0 && (character == '"' || character == '\'')) {
        quoting->quote = character;
        return false;
    }
    if (quoting->quote != 0 && character == quoting->quote) {
        quoting->quote = 0;
        return false;
    }
    return true;
}

static bool quoting_is_bare(const struct quoting *quoting)
{
    return quoting->quote == 0 && !quoting->escaped;
}

enum words_result words_take(char **cursor, char **word)
{
    struct quoting quoting = {0};
    char *from = *cursor;

    while (is_blank(*from)) {
        from++;
    }
    if (*from == '\0') {
        *cursor = from;
        return WORDS_END;
    }
    char *to = from;

    *word = to;
    for (; *from != '\0'; from++) {
        if (quoting_is_bare(&quoting) && is_blank(*from)) {
            from++;
            break;
        }
        if (quoting_step(&quoting, *from)) {
            *to++ = *from;
        }
    }
    *to = '\0';
    *cursor = from;
    return quoting_is_bare(&quoting) ? WORDS_TAKEN : WORDS_UNTERMINATED;
}

/* Returns the end of the first command in @text: its ';' or the NUL. */
static char *find_command_end(char *text)
{
    struct quoting quoting = {0};

    while (*text != '\0' && !(quoting_is_bare(&quoting) && *text == ';')) {
        quoting_step(&quoting, *text);
        text++;
    }
    return text;
}

char *words_take_command(char **cursor)
{
    while (**cursor != '\0') {
        char *start = *cursor;
        char *end = find_command_end(start);

        *cursor = *end == '\0' ? end : end + 1;
        while (start < end && is_blank(*start)) {
            start++;
        }
        while (end > start && is_blank(end[-1])) {
            end--;
        }
        *end = '\0';
        if (start < end) {
            return start;
        }
    }
    return NULL;
}

char *words_last_command(char *text)
{
    for (;;) {
        char *end = find_command_end(text);

        if (*end == '\0') {
            return text;
        }
        text = end + 1;
    }
}
