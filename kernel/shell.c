// SPDX-License-Identifier: MIT
/* The shell. Invariant: whatever is typed, each command either runs or is refused with a line that
 * names the culprit, and the next one is read. Its thread is the only reader of the console. Called
 * by kernel_main()'s first thread. */
#include "kernel/shell.h"

#include "kernel/command_line.h"
#include "kernel/completion.h"
#include "kernel/console.h"
#include "kernel/grace_period.h"
#include "kernel/line_editor.h"
#include "kernel/nearest_word.h"
#include "kernel/string.h"
#include "kernel/words.h"

#define PROMPT        "livetext> "
#define ARGUMENTS_MAX 32

_Static_assert(LINE_EDITOR_MAX <= CONSOLE_LINE_MAX, "the console shows every line");
_Static_assert(LINE_EDITOR_MAX <= COMPLETION_TEXT_MAX, "completion sees every line");

/* by the shell's thread: */
static struct line_editor editor;
static struct shell_completion completion;

/* @commands: ended by NULL. */
static const struct shell_command *find_among(const struct shell_command *const *commands,
                                              const char *name)
{
    for (; *commands != NULL; commands++) {
        if (strcmp((*commands)->name, name) == 0) {
            return *commands;
        }
    }
    return NULL;
}

const struct shell_command *shell_find_command(const char *name)
{
    return find_among(shell_commands, name);
}

const struct shell_command *shell_find_part(const struct shell_command *command, const char *name)
{
    return command->parts != NULL ? find_among(command->parts, name) : NULL;
}

/* @commands: ended by NULL. */
static const char *nearest_among(const struct shell_command *const *commands, const char *word)
{
    struct nearest_word nearest = {.word = word};

    for (; *commands != NULL; commands++) {
        nearest_word_consider(&nearest, (*commands)->name);
    }
    return nearest.best;
}

const char *shell_nearest_command(const char *word)
{
    return nearest_among(shell_commands, word);
}

const char *shell_nearest_part(const struct shell_command *command, const char *word)
{
    return command->parts != NULL ? nearest_among(command->parts, word) : NULL;
}

bool shell_interrupted(const struct shell_session *session)
{
    (void)session;
    thread_checkpoint(); /* a command that asks is between two pieces of its work */
    return console_interrupt_requested();
}

/* Splits @text in place. Returns the number of words, or -1 after saying what is wrong. */
static int split_arguments(char *text, char **argv)
{
    int count = 0;
    char *word;
    enum words_result result;

    while ((result = words_take(&text, &word)) != WORDS_END) {
        if (result == WORDS_UNTERMINATED) {
            console_print("shell: quote not closed before the end of '%s'\n", word);
            return -1;
        }
        if (count == ARGUMENTS_MAX) {
            console_print("shell: more than %d words, from '%s' on\n", ARGUMENTS_MAX, word);
            return -1;
        }
        argv[count++] = word;
    }
    argv[count] = NULL;
    return count;
}

static enum command_result run_command(struct shell_session *session, char *text)
{
    char *argv[ARGUMENTS_MAX + 1];
    int argc = split_arguments(text, argv);

    if (argc < 0) {
        return COMMAND_FAILED;
    }
    const struct shell_command *command = shell_find_command(argv[0]);

    if (command == NULL) {
        const char *nearest = shell_nearest_command(argv[0]);

        if (nearest != NULL) {
            console_print("shell: unknown command '%s': did you mean '%s'?\n", argv[0], nearest);
        } else {
            console_print("shell: unknown command '%s': 'help' lists the commands\n", argv[0]);
        }
        return COMMAND_FAILED;
    }
    const struct shell_command *part = argc > 1 ? shell_find_part(command, argv[1]) : NULL;
    enum command_result result = command->run(session, argc, argv);

    if (result == COMMAND_USAGE) {
        console_print("usage: %s\n", part != NULL ? part->usage : command->usage);
    }
    return result;
}

void shell_execute(struct shell_session *session, char *text, bool echo)
{
    char *command;

    while ((command = words_take_command(&text)) != NULL) {
        if (echo) {
            console_print(PROMPT "%s\n", command);
        }
        if (run_command(session, command) != COMMAND_OK) {
            session->any_failed = true;
        }
        if (console_interrupt_requested()) {
            console_print("^C\n");
            console_discard_input();
            session->any_failed = true;
            return;
        }
    }
}

static void show_line(void)
{
    console_show_line(PROMPT, editor.text, editor.length, editor.cursor);
}

/* Inserts what is certain; where nothing is, the second Tab in a row lists the candidates. */
static void complete_line(bool again)
{
    completion_find(&completion, editor.text, editor.cursor);
    const char *rest = completion_rest(&completion);
    bool inserted = *rest != '\0' && line_editor_insert(&editor, rest, strlen(rest));

    if (completion.matches == 1) {
        inserted = line_editor_insert(&editor, " ", 1) || inserted;
    }
    if (inserted) {
        show_line();
    } else if (again && completion.matches > 1) {
        console_print("%s\n", completion.list);
    } else {
        console_bell();
    }
}

static char read_character(void)
{
    char character;

    while (!console_read_character(&character)) {
        console_wait_input();
    }
    return character;
}

/* Lets the user edit a line in `editor`. Returns false if it was abandoned. */
static bool read_line(void)
{
    enum line_event last = LINE_NOTHING;

    line_editor_begin(&editor);
    show_line();
    for (;;) {
        enum line_event event = line_editor_feed(&editor, read_character());

        if (event == LINE_CHANGED) {
            show_line();
        } else if (event == LINE_BELL) {
            console_bell();
        } else if (event == LINE_CLEAR) {
            console_clear();
        } else if (event == LINE_COMPLETE) {
            complete_line(last == LINE_COMPLETE);
        } else if (event == LINE_DONE) {
            console_finish_line("");
            return true;
        } else if (event == LINE_ABANDONED) {
            console_finish_line("^C");
            return false;
        }
        last = event;
    }
}

/* Runs the commands of run=, on a copy: they are split in place, and `cmdline` shows them later. */
static void run_boot_commands(struct shell_session *session)
{
    const char *commands = command_line_get("run");

    if (commands != NULL) {
        static char text[COMMAND_LINE_MAX + 1];

        memcpy(text, commands, strlen(commands) + 1);
        shell_execute(session, text, true);
    }
}

void shell_run(void)
{
    struct shell_session session = {.any_failed = false};

    run_boot_commands(&session);
    for (;;) {
        if (read_line()) {
            line_editor_remember(&editor);
            shell_execute(&session, editor.text, false);
        }
    }
}
