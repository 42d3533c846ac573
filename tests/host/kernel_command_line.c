// SPDX-License-Identifier: MIT
/* Tests of kernel/command_line.c: what loaders hand over, and nonsense. The log is a fake that
 * keeps the lines, because a warning that names the culprit is half of the promise; the other half
 * is that defaults stand. */
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

#include "kernel/command_line.h"
#include "kernel/log.h"

static char log_text[16384];
static enum log_level console_level = LOG_INFO;

void log_write(enum log_level level, const char *format, ...)
{
    va_list arguments;
    size_t used = strlen(log_text);

    used +=
        (size_t)snprintf(log_text + used, sizeof(log_text) - used, "%s: ", log_level_name(level));
    va_start(arguments, format);
    used += (size_t)vsnprintf(log_text + used, sizeof(log_text) - used, format, arguments);
    va_end(arguments);
    snprintf(log_text + used, sizeof(log_text) - used, "\n");
}

void log_set_console_level(enum log_level level)
{
    console_level = level;
}

enum log_level log_console_level(void)
{
    return console_level;
}

static void initialize(const char *text)
{
    log_text[0] = '\0';
    console_level = LOG_INFO;
    command_line_initialize(text, false);
}

static void qemu_puts_the_file_name_in_front(void **state)
{
    (void)state;
    initialize("build/livetext.elf run=\"bench poke --sites 1,4 -j; exit\" cpus=3");
    assert_string_equal(command_line_get("run"), "bench poke --sites 1,4 -j; exit");
    assert_int_equal(command_line_word_count(), 2);
    assert_string_equal(log_text, "");
    initialize("livetext.elf run=ver");
    assert_string_equal(command_line_get("run"), "ver");
    assert_string_equal(log_text, "");
}

static void grub_quotes_whole_words(void **state)
{
    (void)state;
    initialize("\"run=panic \\\"a b\\\"; exit\" loglevel=debug");
    assert_string_equal(command_line_get("run"), "panic \"a b\"; exit");
    assert_int_equal(console_level, LOG_DEBUG);
    assert_string_equal(log_text, "");
}

static void nothing_given_is_no_fault(void **state)
{
    (void)state;
    initialize(NULL);
    assert_int_equal(command_line_word_count(), 0);
    assert_null(command_line_get("run"));
    initialize("   ");
    assert_int_equal(command_line_word_count(), 0);
    assert_string_equal(log_text, "");
}

static void unknown_words_are_named(void **state)
{
    (void)state;
    initialize("quiet lglevel=debug =x");
    assert_string_equal(
        log_text,
        "warning: command line: unknown word 'quiet' (known: run= loglevel= cpus= protocol= "
        "idle= mitigation= pv= pv_form= sync_timeout_ms= grace_timeout_ms= dispatch= dyncall= "
        "dyncall_form= static_call_updates= dynamic_call_changes= paravirt_switches= "
        "torture_ms= ip= gw=)\n"
        "warning: command line: unknown word 'lglevel=debug': did you mean 'loglevel='?\n"
        "warning: command line: unknown word '=x' (known: run= loglevel= cpus= protocol= "
        "idle= mitigation= pv= pv_form= sync_timeout_ms= grace_timeout_ms= dispatch= dyncall= "
        "dyncall_form= static_call_updates= dynamic_call_changes= paravirt_switches= "
        "torture_ms= ip= gw=)\n");
    assert_int_equal(console_level, LOG_INFO);
    assert_false(command_line_word(0)->known);
    assert_string_equal(command_line_word(1)->name, "lglevel");
    assert_string_equal(command_line_word(1)->value, "debug");
}

static void wrong_values_are_named_and_defaults_stand(void **state)
{
    uint64_t cpus = 4;

    (void)state;
    initialize("loglevel=loud cpus=12x run");
    command_line_get_number("cpus", 1, 255, &cpus);
    assert_string_equal(
        log_text,
        "warning: command line: 'run' has no value: ignored\n"
        "warning: command line: loglevel='loud' is unknown (allowed: error warning info debug): "
        "ignored\n"
        "warning: command line: cpus='12x' is not a number from 1 to 255: ignored\n");
    assert_int_equal(cpus, 4);
    assert_int_equal(console_level, LOG_INFO);
    assert_null(command_line_get("run"));
    initialize("cpus=256");
    command_line_get_number("cpus", 1, 255, &cpus);
    assert_int_equal(cpus, 4);
    initialize("cpus=255");
    command_line_get_number("cpus", 1, 255, &cpus);
    assert_int_equal(cpus, 255);
}

static void the_last_of_two_counts(void **state)
{
    (void)state;
    initialize("cpus=2 cpus=3");
    assert_string_equal(command_line_get("cpus"), "3");
    assert_string_equal(log_text,
                        "warning: command line: 'cpus=' is given twice: the last one counts\n");
}

static void an_open_quote_is_named(void **state)
{
    (void)state;
    initialize("run=\"ver; exit");
    assert_string_equal(log_text, "warning: command line: quote not closed in 'run=ver; exit'\n");
    assert_string_equal(command_line_get("run"), "ver; exit");
}

static void too_much_is_cut_with_a_warning(void **state)
{
    static char text[COMMAND_LINE_MAX + 20];
    char many[COMMAND_LINE_WORDS_MAX * 7 + 20] = "";

    (void)state;
    memset(text, 'a', sizeof(text) - 1);
    memcpy(text, "run=", 4);
    strcpy(text + COMMAND_LINE_MAX, "TAIL");
    initialize(text);
    assert_string_equal(log_text,
                        "warning: command line: longer than 4095 characters: what lies behind "
                        "'aaaaaaaaaaaaaaaaaaaaaaaa' was dropped\n");
    assert_int_equal(strlen(command_line_get("run")), COMMAND_LINE_MAX - 4);

    for (int i = 0; i < COMMAND_LINE_WORDS_MAX; i++) {
        strcat(many, "cpus=1 ");
    }
    strcat(many, "cpus=77");
    initialize(many);
    assert_non_null(strstr(log_text, "more than 32 words: 'cpus=77' is ignored\n"));
    assert_string_equal(command_line_get("cpus"), "1");
}

static void a_line_that_arrived_cut_is_named(void **state)
{
    (void)state;
    log_text[0] = '\0';
    command_line_initialize("cpus=2 run=ver", true);
    assert_string_equal(log_text, "warning: command line: longer than 4095 characters: what lies "
                                  "behind 'cpus=2 run=ver' was dropped\n");
    assert_string_equal(command_line_get("cpus"), "2");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(qemu_puts_the_file_name_in_front),
    cmocka_unit_test(grub_quotes_whole_words),
    cmocka_unit_test(nothing_given_is_no_fault),
    cmocka_unit_test(unknown_words_are_named),
    cmocka_unit_test(wrong_values_are_named_and_defaults_stand),
    cmocka_unit_test(the_last_of_two_counts),
    cmocka_unit_test(an_open_quote_is_named),
    cmocka_unit_test(too_much_is_cut_with_a_warning),
    cmocka_unit_test(a_line_that_arrived_cut_is_named),
};

HOST_TEST_MAIN(tests, NULL)
