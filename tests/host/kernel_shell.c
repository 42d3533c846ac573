// SPDX-License-Identifier: MIT
/* Tests of kernel/shell.c and kernel/completion.c with three commands of their own. The whole
 * output is compared, so what a user would read is what is tested; keys come from a string, at
 * whose end the interactive loop is left by longjmp. The console's line drawing is not part of
 * this: see kernel_line_editor.c. */
#include "tests/host/host_test.h"

#include <string.h>

#include "kernel/command_line.h"
#include "kernel/completion.h"
#include "kernel/console.h"
#include "kernel/grace_period.h"
#include "kernel/shell.h"
#include "tests/host/kernel_fake_console.h"

static jmp_buf out_of_input;
static const char *input = "";
static const char *run_option;
static bool interrupt;
static struct shell_session session;

/* What shell.c needs from the console and the command line. */
bool console_read_character(char *character)
{
    *character = *input;
    return *input != '\0' ? (input++, true) : false;
}

void console_wait_input(void)
{
    longjmp(out_of_input, 1);
}

void thread_checkpoint(void)
{
}

bool console_interrupt_requested(void)
{
    return interrupt;
}

void console_discard_input(void)
{
    interrupt = false;
}

void console_show_line(const char *prompt, const char *text, size_t length, size_t cursor)
{
    (void)prompt;
    (void)text;
    (void)length;
    (void)cursor;
}

void console_finish_line(const char *suffix)
{
    console_print("%s\n", suffix);
}

void console_clear(void)
{
    console_print("(clear)");
}

void console_bell(void)
{
    console_print("(bell)");
}

const char *command_line_get(const char *name)
{
    assert_string_equal(name, "run");
    return run_option;
}

static enum command_result echo_run(struct shell_session *shell, int argc, char **argv)
{
    (void)shell;
    assert_null(argv[argc]);
    for (int i = 1; i < argc; i++) {
        console_print("<%s>", argv[i]);
    }
    console_print("\n");
    return COMMAND_OK;
}

static enum command_result fail_run(struct shell_session *shell, int argc, char **argv)
{
    (void)shell;
    (void)argv;
    console_print("fail: as asked\n");
    return argc == 1 ? COMMAND_FAILED : COMMAND_USAGE;
}

static enum command_result wait_run(struct shell_session *shell, int argc, char **argv)
{
    (void)argc;
    (void)argv;
    interrupt = true;
    return shell_interrupted(shell) ? COMMAND_FAILED : COMMAND_OK;
}

static void echo_complete(struct shell_completion *completion, int argument, char **argv)
{
    static const char *const first[] = {"bench.1", "bench.16", "ipi", NULL};

    assert_string_equal(argv[0], "echo");
    if (argument == 1) {
        shell_completion_offer_all(completion, first);
    } else {
        shell_completion_offer(completion, argv[1]);
    }
}

static const struct shell_command echo = {
    .name = "echo",
    .summary = "s",
    .usage = "echo [WORD...] [-n N] [--name] [-j] | [--na] [-n M] [-j]",
    .example = "e",
    .run = echo_run,
    .complete = echo_complete};
static const struct shell_command fail = {
    .name = "fail", .summary = "s", .usage = "fail [-x]", .example = "e", .run = fail_run};
static const struct shell_command waits = {
    .name = "wait", .summary = "s", .usage = "wait", .example = "e", .run = wait_run};
static const struct shell_command long_part = {
    .name = "long", .summary = "s", .usage = "whole long [--hours N]", .example = "e"};
static const struct shell_command longer_part = {
    .name = "longer", .summary = "s", .usage = "whole longer [--days N]", .example = "e"};
static const struct shell_command *const parts[] = {&long_part, &longer_part, NULL};
static const struct shell_command whole = {.name = "whole",
                                           .summary = "s",
                                           .usage = "whole NAME [-j]",
                                           .example = "e",
                                           .run = fail_run,
                                           .parts = parts};

const struct shell_command *const shell_commands[] = {&echo, &fail, &waits, &whole, NULL};

static int reset(void **state)
{
    (void)state;
    fake_console_reset();
    session.any_failed = false;
    interrupt = false;
    run_option = NULL;
    return 0;
}

static const char *execute(const char *line, bool show)
{
    static char text[2048];

    fake_console_reset();
    strcpy(text, line);
    shell_execute(&session, text, show);
    return fake_console_text;
}

static void commands_get_their_words(void **state)
{
    (void)state;
    assert_string_equal(execute("echo a 'b c' \"d;e\"; echo", false), "<a><b c><d;e>\n\n");
    assert_false(session.any_failed);
    assert_string_equal(execute(" ; ", false), "");
}

static void echoed_lists_read_like_a_dialogue(void **state)
{
    (void)state;
    assert_string_equal(execute("echo  'a b' ;fail", true),
                        "livetext> echo  'a b'\n<a b>\nlivetext> fail\nfail: as asked\n");
}

static void a_failure_is_remembered_and_the_list_goes_on(void **state)
{
    (void)state;
    assert_string_equal(execute("fail; echo on; fail -x", false),
                        "fail: as asked\n<on>\nfail: as asked\nusage: fail [-x]\n");
    assert_true(session.any_failed);
}

static void a_part_has_its_own_usage(void **state)
{
    (void)state;
    assert_string_equal(execute("whole longer", false),
                        "fail: as asked\nusage: whole longer [--days N]\n");
    assert_string_equal(execute("whole lon", false), "fail: as asked\nusage: whole NAME [-j]\n");
    assert_ptr_equal(shell_find_part(&whole, "long"), &long_part);
    assert_null(shell_find_part(&whole, "lon"));
    assert_null(shell_find_part(&waits, "long"));
    assert_string_equal(shell_nearest_part(&whole, "lnog"), "long");
    assert_null(shell_nearest_part(&whole, "zzzzzz"));
    assert_null(shell_nearest_part(&waits, "long"));
}

static void unknown_commands_are_named_with_the_nearest(void **state)
{
    (void)state;
    assert_string_equal(execute("ehco x", false),
                        "shell: unknown command 'ehco': did you mean 'echo'?\n");
    assert_string_equal(execute("zzzzzz", false),
                        "shell: unknown command 'zzzzzz': 'help' lists the commands\n");
    assert_true(session.any_failed);
}

static void malformed_lines_are_refused_with_their_words(void **state)
{
    char many[100] = "echo";

    (void)state;
    assert_string_equal(execute("echo 'open end", false),
                        "shell: quote not closed before the end of 'open end'\n");
    for (int i = 0; i < 31; i++) {
        strcat(many, " 1");
    }
    execute(many, false);
    assert_int_equal(strncmp(fake_console_text, "<1><1>", 6), 0);
    strcat(many, " culprit");
    assert_string_equal(execute(many, false), "shell: more than 32 words, from 'culprit' on\n");
}

static void ctrl_c_stops_the_rest_of_the_list(void **state)
{
    (void)state;
    assert_string_equal(execute("wait; echo never", true), "livetext> wait\n^C\n");
    assert_true(session.any_failed);
    assert_false(interrupt);
}

/* Runs the shell on @keys until they are used up. */
static const char *interact(const char *keys)
{
    fake_console_reset();
    input = keys;
    if (setjmp(out_of_input) == 0) {
        shell_run();
    }
    return fake_console_text;
}

static void boot_commands_run_before_the_first_key(void **state)
{
    (void)state;
    run_option = "echo boot; fail";
    assert_string_equal(interact("echo typed\r"),
                        "livetext> echo boot\n<boot>\nlivetext> fail\nfail: as asked\n\n<typed>\n");
    assert_string_equal(run_option, "echo boot; fail");
}

static void lines_are_edited_recalled_and_abandoned(void **state)
{
    (void)state;
    assert_string_equal(interact("echo one\r\003echo\177\177\177\177\033[A two\rxx\003\r"),
                        "\n<one>\n^C\n\n<one><two>\n^C\n\n");
}

static void tab_inserts_what_is_certain_and_lists_the_rest(void **state)
{
    (void)state;
    assert_string_equal(interact("e\ti\t\r"), "\n<ipi>\n");
    assert_string_equal(interact("e\tb\t\t\r"), "bench.1  bench.16\n\n<bench.1>\n");
    assert_string_equal(interact("zz\t\003"), "(bell)^C\n");
    assert_string_equal(interact("\t\t\003"), "(bell)echo  fail  wait  whole\n^C\n");
    assert_string_equal(interact("fail; echo b\t6\r"), "\nfail: as asked\n<bench.16>\n");
}

static const char *completed(const char *text)
{
    static struct shell_completion completion;

    completion_find(&completion, text, strlen(text));
    return completion.list;
}

static void completion_knows_commands_options_and_arguments(void **state)
{
    (void)state;
    assert_string_equal(completed(""), "echo  fail  wait  whole");
    assert_string_equal(completed("fail;"), "echo  fail  wait  whole");
    assert_string_equal(completed("fail; f"), "fail");
    assert_string_equal(completed("echo ben"), "bench.1  bench.16");
    assert_string_equal(completed("echo ipi "), "ipi");
    assert_string_equal(completed("echo -"), "-n  --name  -j  --na");
    assert_string_equal(completed("echo --"), "--name  --na");
    assert_string_equal(completed("fail "), "");
    assert_string_equal(completed("nothing "), "");
    assert_string_equal(completed("whole "), "long  longer");
    assert_string_equal(completed("whole -"), "-j");
    assert_string_equal(completed("whole long --"), "--hours");
    assert_string_equal(completed("whole longer --"), "--days");
    assert_string_equal(completed("whole long "), "");
    assert_string_equal(completed("echo 'b;e' ip"), ""); /* argument 2: argv[1] */
}

static void too_many_candidates_end_in_dots(void **state)
{
    struct shell_completion completion = {.typed = ""};

    (void)state;
    for (int i = 0; i < 200; i++) {
        shell_completion_offer(&completion, "candidate");
    }
    assert_int_equal(completion.matches, 200);
    assert_int_equal(strlen(completion.list), COMPLETION_LIST_MAX);
    assert_string_equal(completion.list + COMPLETION_LIST_MAX - 3, "...");
    assert_string_equal(completion_rest(&completion), "candidate");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(commands_get_their_words, reset),
    cmocka_unit_test_setup(echoed_lists_read_like_a_dialogue, reset),
    cmocka_unit_test_setup(a_failure_is_remembered_and_the_list_goes_on, reset),
    cmocka_unit_test_setup(a_part_has_its_own_usage, reset),
    cmocka_unit_test_setup(unknown_commands_are_named_with_the_nearest, reset),
    cmocka_unit_test_setup(malformed_lines_are_refused_with_their_words, reset),
    cmocka_unit_test_setup(ctrl_c_stops_the_rest_of_the_list, reset),
    cmocka_unit_test_setup(boot_commands_run_before_the_first_key, reset),
    cmocka_unit_test_setup(lines_are_edited_recalled_and_abandoned, reset),
    cmocka_unit_test_setup(tab_inserts_what_is_certain_and_lists_the_rest, reset),
    cmocka_unit_test(completion_knows_commands_options_and_arguments),
    cmocka_unit_test(too_many_candidates_end_in_dots),
};

HOST_TEST_MAIN(tests, NULL)
