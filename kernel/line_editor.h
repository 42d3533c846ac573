// SPDX-License-Identifier: MIT
/* The line editor: keys in, text and cursor out. Invariant: cursor <= length <= LINE_EDITOR_MAX,
 * text is printable ASCII ended by NUL, whatever bytes come in and however escape sequences are
 * split. Pure: it prints nothing; the shell shows the result by console_show_line(). Keys:
 * printable text, Enter, Backspace, Delete, arrows, Home, End, Ctrl-A -B -C -E -F -H -K -L -N -P -U
 * -W, Tab. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#define LINE_EDITOR_MAX     511 /* characters in a line */
#define LINE_EDITOR_HISTORY 16

enum line_event {
    LINE_NOTHING,   /* nothing to show */
    LINE_CHANGED,   /* text or cursor changed */
    LINE_BELL,      /* the key has no effect here, or the line is full */
    LINE_DONE,      /* Enter: the line is complete */
    LINE_ABANDONED, /* Ctrl-C */
    LINE_COMPLETE,  /* Tab */
    LINE_CLEAR,     /* Ctrl-L */
};

struct line_editor {
    char text[LINE_EDITOR_MAX + 1];
    size_t length;
    size_t cursor;
    enum { ESCAPE_NONE, ESCAPE_STARTED, ESCAPE_CSI, ESCAPE_SS3 } escape;
    unsigned escape_parameter; /* the first number of a CSI sequence */
    bool escape_more;          /* behind its first ';' */
    bool after_return;         /* the last byte was CR: an LF belongs to it */
    size_t history_count; /* lines ever remembered; number n lies in slot n % LINE_EDITOR_HISTORY */
    size_t history_back;  /* how many lines back the text comes from; 0: being typed */
    char history[LINE_EDITOR_HISTORY][LINE_EDITOR_MAX + 1];
    char draft[LINE_EDITOR_MAX + 1]; /* the line being typed, while history is shown */
};

/* Starts an empty line; the history stays. A zeroed editor is ready too. */
void line_editor_begin(struct line_editor *editor);

/* Handles one byte of input. */
enum line_event line_editor_feed(struct line_editor *editor, char byte);

/* Inserts printable text at the cursor. Returns false, and inserts nothing, if it does not fit. */
bool line_editor_insert(struct line_editor *editor, const char *text, size_t length);

/* Adds the line to the history, unless it is empty or the same as the newest there. */
void line_editor_remember(struct line_editor *editor);
