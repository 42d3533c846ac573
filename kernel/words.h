// SPDX-License-Identifier: MIT
/* Splitting text into commands and words, with quotes. Invariant: works in place, never grows the
 * text, reads nothing behind its NUL. Rules, for the shell and the kernel command line alike:
 * blanks separate words; '...' takes everything as it stands; "..." and bare text know the
 * backslash, which takes the next character as it stands;
 * ';' outside quotes ends a command. Pure. */
#pragma once

enum words_result {
    WORDS_TAKEN,
    WORDS_END,          /* there is no further word */
    WORDS_UNTERMINATED, /* a quote is not closed; *@word is what there is */
};

/* Takes the next word off *@cursor, without its quotes, ended by NUL. */
enum words_result words_take(char **cursor, char **word);

/* Takes the next command off *@cursor: text up to ';' or the end, without blanks around it, quotes
 * kept. Returns NULL when there is none left; skips empty ones. */
char *words_take_command(char **cursor);

/* Returns the last command in @text, behind its last ';' outside quotes; @text itself if there is
 * none. */
char *words_last_command(char *text);
