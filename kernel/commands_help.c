// SPDX-License-Identifier: MIT
/* Shell command help: what there is, and each command, or part of one, from its own struct.
 * Invariant: all it knows of a command stands in that command's struct. Listed in
 * kernel/command_table.c. */
#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/options.h"
#include "kernel/shell.h"
#include "kernel/string.h"
#include "kernel/table.h"

#define LINE_MAX      256
#define PART_NAME_MAX 64

/* @commands: ended by NULL; @kind: of the rows. */
static void help_rows(const struct shell_command *const *commands, const char *kind, bool json)
{
    struct table table;

    table_begin(&table, kind, json);
    for (; *commands != NULL; commands++) {
        table_row(&table);
        table_text(&table, "name", 10, (*commands)->name);
        table_text(&table, "summary", 0, (*commands)->summary);
        table_end_row(&table);
    }
    table_end(&table);
}

static void help_list(bool json)
{
    help_rows(shell_commands, "command", json);
    if (!json) {
        console_print("'help NAME' explains a command; most print JSON with -j; ';' separates "
                      "commands.\n");
    }
}

/* Prints the details line by line: neither one console_print() nor one row could hold them all. */
static void help_details(const char *text, bool json)
{
    struct table table;

    table_begin(&table, "command.detail", json);
    while (text != NULL) {
        const char *end = strchr(text, '\n');
        int length = end != NULL ? (int)(end - text) : (int)strlen(text);
        char line[LINE_MAX];

        format_text(line, sizeof(line), "%.*s", length, text);
        if (json) {
            table_row(&table);
            table_text(&table, "text", 0, line);
            table_end_row(&table);
        } else {
            console_print("%s\n", line);
        }
        text = end != NULL ? end + 1 : NULL;
    }
}

/* @name: the command's; a part's begins with its command's. */
static void help_explain(const struct shell_command *command, const char *name, bool json)
{
    struct table table;

    if (json) {
        table_begin(&table, "command", json);
        table_row(&table);
        table_text(&table, "name", 0, name);
        table_text(&table, "summary", 0, command->summary);
        table_text(&table, "usage", 0, command->usage);
        table_text(&table, "example", 0, command->example);
        table_end_row(&table);
        table_end(&table);
    } else {
        console_print("%s: %s\nusage:   %s\nexample: %s\n", name, command->summary, command->usage,
                      command->example);
    }
    help_details(command->details, json);
    if (command->parts != NULL) {
        help_rows(command->parts, "command.part", json);
        if (!json) {
            console_print("'help %s NAME' explains one.\n", name);
        }
    }
}

/* Returns the part that @word names, or NULL having said which is near. */
static const struct shell_command *part_of(const struct shell_command *command, const char *word)
{
    const struct shell_command *part = shell_find_part(command, word);

    if (part == NULL && command->parts == NULL) {
        console_print("help: '%s' has no parts: 'help %s' explains it whole\n", command->name,
                      command->name);
    } else if (part == NULL) {
        const char *nearest = shell_nearest_part(command, word);

        console_print("help: unknown: '%s %s'%s%s%s\n", command->name, word,
                      nearest != NULL ? ": did you mean '" : ": 'help ",
                      nearest != NULL ? nearest : command->name,
                      nearest != NULL ? "'?" : "' lists them");
    }
    return part;
}

static enum command_result help_run(struct shell_session *session, int argc, char **argv)
{
    bool json = false;
    const struct option options[] = {OPTION_JSON(&json)};

    (void)session;
    if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 2)) {
        return COMMAND_USAGE;
    }
    if (argc == 1) {
        help_list(json);
        return COMMAND_OK;
    }
    const struct shell_command *command = shell_find_command(argv[1]);

    if (command == NULL) {
        const char *nearest = shell_nearest_command(argv[1]);

        console_print("help: unknown command '%s'%s%s%s\n", argv[1],
                      nearest != NULL ? ": did you mean '" : "", nearest != NULL ? nearest : "",
                      nearest != NULL ? "'?" : "");
        return COMMAND_FAILED;
    }
    if (argc == 2) {
        help_explain(command, command->name, json);
        return COMMAND_OK;
    }
    const struct shell_command *part = part_of(command, argv[2]);
    char name[PART_NAME_MAX];

    if (part == NULL) {
        return COMMAND_FAILED;
    }
    format_text(name, sizeof(name), "%s %s", command->name, part->name);
    help_explain(part, name, json);
    return COMMAND_OK;
}

static void help_complete(struct shell_completion *completion, int argument, char **argv)
{
    const struct shell_command *command = argument == 2 ? shell_find_command(argv[1]) : NULL;
    const struct shell_command *const *offered = argument == 1     ? shell_commands
                                                 : command != NULL ? command->parts
                                                                   : NULL;

    for (; offered != NULL && *offered != NULL; offered++) {
        shell_completion_offer(completion, (*offered)->name);
    }
}

const struct shell_command command_help = {
    .name = "help",
    .summary = "list the commands, or explain one",
    .usage = "help [COMMAND [PART]] [-j]",
    .example = "help bench poke",
    .run = help_run,
    .complete = help_complete,
};
