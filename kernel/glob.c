// SPDX-License-Identifier: MIT
/* Matching of glob patterns; see glob.h. Invariant: behind a mismatch only the last `*` is asked to
 * take one character more: what an earlier one took need never change. */
#include "kernel/glob.h"

#include <stddef.h>

/* Returns what stands behind the set that begins at @set, a '[', or NULL if it does not end. */
static const char *set_end(const char *set)
{
    const char *cursor = set + 1;

    cursor += *cursor == '!';
    if (*cursor == ']') {
        cursor++;
    }
    while (*cursor != ']') {
        if (*cursor++ == '\0') {
            return NULL;
        }
    }
    return cursor + 1;
}

/* Whether @character is in the set [@set, @end). */
static bool set_contains(const char *set, const char *end, char character)
{
    bool negated = set[1] == '!';
    const char *cursor = set + 1 + negated;
    bool found = false;

    while (cursor < end - 1) {
        bool is_range = cursor + 2 < end - 1 && cursor[1] == '-';
        char last = is_range ? cursor[2] : *cursor;

        found |= *cursor <= character && character <= last;
        cursor += is_range ? 3 : 1;
    }
    return found != negated;
}

/* Whether @character is what stands at *@pattern, no '*'; if so, steps over that. */
static bool match_one(const char **pattern, char character)
{
    const char *end = *pattern + 1;

    if (**pattern == '[') {
        end = set_end(*pattern);
        if (!set_contains(*pattern, end, character)) {
            return false;
        }
    } else if (**pattern != '?' && **pattern != character) {
        return false;
    }
    *pattern = end;
    return true;
}

bool glob_is_valid(const char *pattern)
{
    while (*pattern != '\0') {
        if (*pattern != '[') {
            pattern++;
        } else {
            pattern = set_end(pattern);
            if (pattern == NULL) {
                return false;
            }
        }
    }
    return true;
}

bool glob_match(const char *pattern, const char *text)
{
    const char *behind_star = NULL; /* in the pattern */
    const char *taken = NULL;       /* text up to here is the star's */

    while (*text != '\0') {
        if (*pattern == '*') {
            behind_star = ++pattern;
            taken = text;
        } else if (*pattern != '\0' && match_one(&pattern, *text)) {
            text++;
        } else if (behind_star != NULL) {
            pattern = behind_star;
            text = ++taken;
        } else {
            return false;
        }
    }
    while (*pattern == '*') {
        pattern++;
    }
    return *pattern == '\0';
}
