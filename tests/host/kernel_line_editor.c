// SPDX-License-Identifier: MIT
/* Tests of kernel/line_editor.c and kernel/line_view.c. Keys go in, and a model of a terminal that
 * understands only backspace and ESC [ K shows what comes out; after every byte, of random garbage
 * too, the terminal must show the editor's text with the cursor in its place. Misses: lines wider
 * than the terminal. */
#include "tests/host/host_test.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "kernel/line_editor.h"
#include "kernel/line_view.h"

_Static_assert(LINE_EDITOR_MAX == LINE_VIEW_MAX, "the view holds the longest line");

static struct line_editor editor;
static struct line_view view;
static char screen[LINE_VIEW_MAX + 1];
static size_t screen_length, screen_cursor;
static enum line_event last_event;
static size_t written; /* bytes that the last key cost */

static void terminal_write(const char *bytes, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '\b') {
            assert_true(screen_cursor > 0);
            screen_cursor--;
        } else if (length - i >= 3 && memcmp(bytes + i, "\033[K", 3) == 0) {
            screen_length = screen_cursor;
            i += 2;
        } else {
            assert_true(bytes[i] >= 0x20 && bytes[i] <= 0x7e);
            assert_true(screen_cursor < LINE_VIEW_MAX);
            screen[screen_cursor++] = bytes[i];
            if (screen_cursor > screen_length) {
                screen_length = screen_cursor;
            }
        }
    }
}

static void assert_screen_shows_the_line(void)
{
    assert_true(editor.cursor <= editor.length);
    assert_true(editor.length <= LINE_EDITOR_MAX);
    assert_int_equal(strlen(editor.text), editor.length);
    assert_int_equal(screen_length, editor.length);
    assert_int_equal(screen_cursor, editor.cursor);
    assert_memory_equal(screen, editor.text, editor.length);
}

static void show(void)
{
    char output[LINE_VIEW_OUTPUT_MAX];

    written = line_view_change(&view, editor.text, editor.length, editor.cursor, output);
    assert_true(written <= sizeof(output));
    terminal_write(output, written);
    assert_screen_shows_the_line();
}

static void begin(void)
{
    line_editor_begin(&editor);
    memset(&view, 0, sizeof(view));
    screen_length = 0;
    screen_cursor = 0;
}

static void type(const char *keys)
{
    for (; *keys != '\0'; keys++) {
        last_event = line_editor_feed(&editor, *keys);
        show();
    }
}

static void enter(const char *line)
{
    begin();
    type(line);
    line_editor_remember(&editor);
    begin();
}

static int reset(void **state)
{
    (void)state;
    memset(&editor, 0, sizeof(editor));
    begin();
    return 0;
}

static void assert_line(const char *text, size_t cursor)
{
    assert_string_equal(editor.text, text);
    assert_int_equal(editor.cursor, cursor);
}

static void typing_at_the_end_costs_one_byte_a_key(void **state)
{
    (void)state;
    for (const char *key = "keys -j"; *key != '\0'; key++) {
        char one[2] = {*key, '\0'};

        type(one);
        assert_int_equal(last_event, LINE_CHANGED);
        assert_int_equal(written, 1);
    }
    assert_line("keys -j", 7);
}

static void cursor_keys_move_and_text_goes_in_between(void **state)
{
    (void)state;
    type("ky\033[De");
    assert_line("key", 2);
    type("\033[H>\033OF<\033OD\033[1~.\033[4~!");
    assert_line(".>key<!", 7);
    type("\001\002");
    assert_int_equal(last_event, LINE_BELL);
    type("\006\005\006");
    assert_int_equal(last_event, LINE_BELL);
    type("\033[1;5D"); /* Ctrl-Left: a left */
    assert_line(".>key<!", 6);
}

static void deleting_keys_delete(void **state)
{
    (void)state;
    type("one two  three\177\b");
    assert_line("one two  thr", 12);
    type("\027");
    assert_line("one two  ", 9);
    type("\027");
    assert_line("one ", 4);
    type("\001\033[3~");
    assert_line("ne ", 0);
    type("\b");
    assert_int_equal(last_event, LINE_BELL);
    type("\033[C\013");
    assert_line("n", 1);
    type("\013");
    assert_int_equal(last_event, LINE_BELL);
    type("xyz\033[D\025");
    assert_line("z", 0);
}

static void keys_for_the_shell_are_handed_on(void **state)
{
    (void)state;
    type("ver\t");
    assert_int_equal(last_event, LINE_COMPLETE);
    type("\014");
    assert_int_equal(last_event, LINE_CLEAR);
    type("\003");
    assert_int_equal(last_event, LINE_ABANDONED);
    type("\r");
    assert_int_equal(last_event, LINE_DONE);
    type("\n"); /* belongs to the return */
    assert_int_equal(last_event, LINE_NOTHING);
    type("\n");
    assert_int_equal(last_event, LINE_DONE);
    assert_line("ver", 3);
}

static void history_goes_back_and_forth_and_keeps_the_draft(void **state)
{
    (void)state;
    enter("first");
    enter("second");
    enter("second"); /* once only */
    enter("");       /* not at all */
    type("draft\033[A");
    assert_line("second", 6);
    type("\020");
    assert_line("first", 5);
    type("\033[A");
    assert_int_equal(last_event, LINE_BELL);
    type("!\033[B"); /* a changed old line is not kept */
    assert_line("second", 6);
    type("\016");
    assert_line("draft", 5);
    type("\033[B");
    assert_int_equal(last_event, LINE_BELL);
}

static void history_keeps_the_newest_lines(void **state)
{
    char line[3] = "aa";

    (void)state;
    for (int i = 0; i < LINE_EDITOR_HISTORY + 5; i++) {
        line[1] = (char)('a' + i);
        enter(line);
    }
    for (int i = 0; i < LINE_EDITOR_HISTORY; i++) {
        type("\033[A");
        assert_int_equal(last_event, LINE_CHANGED);
    }
    assert_line("af", 2);
    type("\033[A");
    assert_int_equal(last_event, LINE_BELL);
}

static void a_full_line_rings_and_keeps_its_text(void **state)
{
    (void)state;
    for (int i = 0; i < LINE_EDITOR_MAX; i++) {
        type("x");
        assert_int_equal(last_event, LINE_CHANGED);
    }
    type("y");
    assert_int_equal(last_event, LINE_BELL);
    assert_false(line_editor_insert(&editor, "yy", 2));
    type("\001\177\033[3~\033[3~");
    assert_true(line_editor_insert(&editor, "zz", 2));
    show();
    assert_int_equal(editor.length, LINE_EDITOR_MAX);
}

static void control_keys_end_a_broken_escape_sequence(void **state)
{
    (void)state;
    type("a\033[12;\003");
    assert_int_equal(last_event, LINE_ABANDONED);
    type("~\033\r");
    assert_int_equal(last_event, LINE_DONE);
    type("\177\033Ob\033[99999999999999999999~\033[?25hc\033xd");
    assert_line("acd", 3);
}

static void garbage_never_breaks_the_line(void **state)
{
    static const char frequent[] = "\033[ABCDHF~;3O\b\177\001\005\013\025\027\020\016";

    (void)state;
    srand(7);
    for (int i = 0; i < 200000; i++) {
        char byte = rand() % 2 == 0 ? frequent[(size_t)rand() % (sizeof(frequent) - 1)]
                                    : (char)(rand() % 256);
        enum line_event event = line_editor_feed(&editor, byte);

        show();
        if (event == LINE_DONE) {
            line_editor_remember(&editor);
            begin();
        }
    }
}

static void redraw_shows_the_same_as_the_changes_did(void **state)
{
    char output[LINE_VIEW_OUTPUT_MAX];

    (void)state;
    type("keys -j\033[D\033[D");
    screen_length = 0;
    screen_cursor = 0;
    size_t length = line_view_redraw(&view, output);

    terminal_write(output, length);
    assert_screen_shows_the_line();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(typing_at_the_end_costs_one_byte_a_key, reset),
    cmocka_unit_test_setup(cursor_keys_move_and_text_goes_in_between, reset),
    cmocka_unit_test_setup(deleting_keys_delete, reset),
    cmocka_unit_test_setup(keys_for_the_shell_are_handed_on, reset),
    cmocka_unit_test_setup(history_goes_back_and_forth_and_keeps_the_draft, reset),
    cmocka_unit_test_setup(history_keeps_the_newest_lines, reset),
    cmocka_unit_test_setup(a_full_line_rings_and_keeps_its_text, reset),
    cmocka_unit_test_setup(control_keys_end_a_broken_escape_sequence, reset),
    cmocka_unit_test_setup(garbage_never_breaks_the_line, reset),
    cmocka_unit_test_setup(redraw_shows_the_same_as_the_changes_did, reset),
};

HOST_TEST_MAIN(tests, NULL)
