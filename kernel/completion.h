// SPDX-License-Identifier: MIT
/* Tab completion: what could stand where the cursor is. Invariant: `common` is the longest
 * beginning that all matches share; the words themselves come from the command table, from usage
 * lines (options) and from the commands. Called by kernel/shell.c; commands only call
 * shell_completion_offer(). */
#pragma once

#include <stddef.h>

#include "kernel/shell.h"

#define COMPLETION_WORD_MAX 63
#define COMPLETION_LIST_MAX 1023
#define COMPLETION_TEXT_MAX 511

struct shell_completion {
    const char *typed; /* the word before the cursor, as far as it is typed */
    size_t typed_length;
    size_t matches;
    char common[COMPLETION_WORD_MAX + 1];
    char list[COMPLETION_LIST_MAX +
              1]; /* the matches, two spaces between; "..." at its end if it is full */
    size_t list_length;
    char text[COMPLETION_TEXT_MAX + 1]; /* typed text, split */
};

/* Finds what completes the word that ends at text[@length], where the cursor is. */
void completion_find(struct shell_completion *completion, const char *text, size_t length);

/* What can be inserted at the cursor: the rest of `common`. */
const char *completion_rest(const struct shell_completion *completion);
