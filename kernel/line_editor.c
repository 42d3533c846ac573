// SPDX-License-Identifier: MIT
/* The line editor: a table of keys over a few edits. Invariant: a control byte ends any escape
 * sequence, so no garbage can swallow an Enter or a Ctrl-C. Called by kernel/shell.c and host
 * tests. */
#include "kernel/line_editor.h"

#include "kernel/string.h"

#define CONTROL(letter)      ((letter) - '@')
#define BYTE_ESCAPE          0x1b
#define BYTE_DELETE          0x7f
#define ESCAPE_PARAMETER_MAX 1000u

typedef enum line_event key_action(struct line_editor *editor);

void line_editor_begin(struct line_editor *editor)
{
    editor->length = 0;
    editor->cursor = 0;
    editor->text[0] = '\0';
    editor->history_back = 0;
}

bool line_editor_insert(struct line_editor *editor, const char *text, size_t length)
{
    if (length > LINE_EDITOR_MAX - editor->length) {
        return false;
    }
    char *at = editor->text + editor->cursor;

    memmove(at + length, at, editor->length - editor->cursor + 1);
    memcpy(at, text, length);
    editor->length += length;
    editor->cursor += length;
    return true;
}

/* Removes the characters [from, to) and puts the cursor there. */
static enum line_event remove_range(struct line_editor *editor, size_t from, size_t to)
{
    if (from == to) {
        return LINE_BELL;
    }
    memmove(editor->text + from, editor->text + to, editor->length - to + 1);
    editor->length -= to - from;
    editor->cursor = from;
    return LINE_CHANGED;
}

static enum line_event move_to(struct line_editor *editor, size_t cursor)
{
    if (cursor == editor->cursor) {
        return LINE_BELL;
    }
    editor->cursor = cursor;
    return LINE_CHANGED;
}

static enum line_event move_home(struct line_editor *editor)
{
    return move_to(editor, 0);
}

static enum line_event move_end(struct line_editor *editor)
{
    return move_to(editor, editor->length);
}

static enum line_event move_left(struct line_editor *editor)
{
    return move_to(editor, editor->cursor - (editor->cursor > 0));
}

static enum line_event move_right(struct line_editor *editor)
{
    return move_to(editor, editor->cursor + (editor->cursor < editor->length));
}

static enum line_event delete_left(struct line_editor *editor)
{
    return remove_range(editor, editor->cursor - (editor->cursor > 0), editor->cursor);
}

static enum line_event delete_right(struct line_editor *editor)
{
    return remove_range(editor, editor->cursor, editor->cursor + (editor->cursor < editor->length));
}

static enum line_event delete_to_start(struct line_editor *editor)
{
    return remove_range(editor, 0, editor->cursor);
}

static enum line_event delete_to_end(struct line_editor *editor)
{
    return remove_range(editor, editor->cursor, editor->length);
}

static enum line_event delete_word(struct line_editor *editor)
{
    size_t start = editor->cursor;

    while (start > 0 && editor->text[start - 1] == ' ') {
        start--;
    }
    while (start > 0 && editor->text[start - 1] != ' ') {
        start--;
    }
    return remove_range(editor, start, editor->cursor);
}

static char *history_slot(struct line_editor *editor, size_t back)
{
    return editor->history[(editor->history_count - back) % LINE_EDITOR_HISTORY];
}

/* Shows the line @back steps back; 0 is the draft. */
static enum line_event history_show(struct line_editor *editor, size_t back)
{
    if (editor->history_back == 0) {
        memcpy(editor->draft, editor->text, editor->length + 1);
    }
    const char *text = back == 0 ? editor->draft : history_slot(editor, back);

    editor->history_back = back;
    editor->length = strlen(text);
    editor->cursor = editor->length;
    memcpy(editor->text, text, editor->length + 1);
    return LINE_CHANGED;
}

static enum line_event history_older(struct line_editor *editor)
{
    size_t back = editor->history_back;

    if (back == editor->history_count || back == LINE_EDITOR_HISTORY) {
        return LINE_BELL;
    }
    return history_show(editor, back + 1);
}

static enum line_event history_newer(struct line_editor *editor)
{
    return editor->history_back > 0 ? history_show(editor, editor->history_back - 1) : LINE_BELL;
}

void line_editor_remember(struct line_editor *editor)
{
    bool repeated = editor->history_count > 0 && strcmp(history_slot(editor, 1), editor->text) == 0;

    if (editor->length > 0 && !repeated) {
        editor->history_count++;
        memcpy(history_slot(editor, 1), editor->text, editor->length + 1);
    }
}

static enum line_event finish(struct line_editor *editor)
{
    (void)editor;
    return LINE_DONE;
}

static enum line_event abandon(struct line_editor *editor)
{
    (void)editor;
    return LINE_ABANDONED;
}

static enum line_event complete(struct line_editor *editor)
{
    (void)editor;
    return LINE_COMPLETE;
}

static enum line_event clear(struct line_editor *editor)
{
    (void)editor;
    return LINE_CLEAR;
}

static enum line_event start_escape(struct line_editor *editor)
{
    editor->escape = ESCAPE_STARTED;
    return LINE_NOTHING;
}

/* What a key does; by control byte, by the last letter of ESC [ or ESC O, by the number in ESC [
 * number ~. */
struct key {
    unsigned code;
    key_action *action;
};

static const struct key control_keys[] = {
    {CONTROL('A'), move_home},     {CONTROL('B'), move_left},       {CONTROL('C'), abandon},
    {CONTROL('E'), move_end},      {CONTROL('F'), move_right},      {CONTROL('H'), delete_left},
    {CONTROL('I'), complete},      {CONTROL('J'), finish},          {CONTROL('K'), delete_to_end},
    {CONTROL('L'), clear},         {CONTROL('M'), finish},          {CONTROL('N'), history_newer},
    {CONTROL('P'), history_older}, {CONTROL('U'), delete_to_start}, {CONTROL('W'), delete_word},
    {BYTE_ESCAPE, start_escape},   {BYTE_DELETE, delete_left},      {0, NULL},
};

static const struct key letter_keys[] = {
    {'A', history_older}, {'B', history_newer}, {'C', move_right}, {'D', move_left},
    {'H', move_home},     {'F', move_end},      {0, NULL},
};

static const struct key number_keys[] = {
    {1, move_home}, {3, delete_right}, {4, move_end}, {7, move_home}, {8, move_end}, {0, NULL},
};

/* A key that means nothing to us does nothing. */
static enum line_event act(struct line_editor *editor, const struct key *keys, unsigned code)
{
    for (; keys->action != NULL; keys++) {
        if (keys->code == code) {
            return keys->action(editor);
        }
    }
    return LINE_NOTHING;
}

static enum line_event feed_csi(struct line_editor *editor, unsigned char byte)
{
    if (byte >= '0' && byte <= '9') {
        if (!editor->escape_more && editor->escape_parameter < ESCAPE_PARAMETER_MAX) {
            editor->escape_parameter = editor->escape_parameter * 10 + (unsigned)(byte - '0');
        }
        return LINE_NOTHING;
    }
    if (byte < 0x40) { /* ';' or an intermediate byte: the sequence goes on */
        editor->escape_more = true;
        return LINE_NOTHING;
    }
    editor->escape = ESCAPE_NONE;
    return byte == '~' ? act(editor, number_keys, editor->escape_parameter)
                       : act(editor, letter_keys, byte);
}

static enum line_event feed_escape(struct line_editor *editor, unsigned char byte)
{
    if (editor->escape == ESCAPE_CSI) {
        return feed_csi(editor, byte);
    }
    if (editor->escape == ESCAPE_STARTED && byte == '[') {
        editor->escape = ESCAPE_CSI;
        editor->escape_parameter = 0;
        editor->escape_more = false;
        return LINE_NOTHING;
    }
    if (editor->escape == ESCAPE_STARTED && byte == 'O') {
        editor->escape = ESCAPE_SS3;
        return LINE_NOTHING;
    }
    bool letter = editor->escape == ESCAPE_SS3;

    editor->escape = ESCAPE_NONE;
    return letter ? act(editor, letter_keys, byte) : LINE_NOTHING;
}

enum line_event line_editor_feed(struct line_editor *editor, char character)
{
    unsigned char byte = (unsigned char)character;
    bool belongs_to_return = editor->after_return && byte == '\n';

    editor->after_return = byte == '\r';
    if (belongs_to_return) {
        return LINE_NOTHING;
    }
    if (byte < 0x20 || byte == BYTE_DELETE) {
        editor->escape = ESCAPE_NONE;
        return act(editor, control_keys, byte);
    }
    if (editor->escape != ESCAPE_NONE) {
        return feed_escape(editor, byte);
    }
    if (byte > 0x7e) {
        return LINE_NOTHING;
    }
    return line_editor_insert(editor, &character, 1) ? LINE_CHANGED : LINE_BELL;
}
