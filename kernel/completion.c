// SPDX-License-Identifier: MIT
/* Tab completion. Invariant: works on its own copy of the line; what does not fit is not offered.
 * Called by the shell; depends on shell_commands[] alone, so host tests bring their own table. */
#include "kernel/completion.h"

#include "kernel/format.h"
#include "kernel/string.h"
#include "kernel/words.h"

#define WORDS_MAX 32

static void list_add(struct shell_completion *completion, const char *word)
{
    size_t room = sizeof(completion->list) - completion->list_length;
    size_t length = format_text(completion->list + completion->list_length, room, "%s%s",
                                completion->matches > 0 ? "  " : "", word);

    if (length < room) {
        completion->list_length += length;
    } else {
        memcpy(completion->list + sizeof(completion->list) - 4, "...", 4);
        completion->list_length = sizeof(completion->list) - 1;
    }
}

void shell_completion_offer(struct shell_completion *completion, const char *word)
{
    size_t length = strlen(word);

    if (length > COMPLETION_WORD_MAX ||
        strncmp(word, completion->typed, completion->typed_length) != 0) {
        return;
    }
    list_add(completion, word);
    if (completion->matches++ == 0) {
        memcpy(completion->common, word, length + 1);
        return;
    }
    size_t same = 0;

    while (completion->common[same] != '\0' && completion->common[same] == word[same]) {
        same++;
    }
    completion->common[same] = '\0';
}

void shell_completion_offer_all(struct shell_completion *completion, const char *const *words)
{
    for (; *words != NULL; words++) {
        shell_completion_offer(completion, *words);
    }
}

/* @commands: ended by NULL. */
static void offer_commands(struct shell_completion *completion,
                           const struct shell_command *const *commands)
{
    for (; *commands != NULL; commands++) {
        shell_completion_offer(completion, (*commands)->name);
    }
}

static bool is_option_character(char character)
{
    return character == '-' || (character >= 'a' && character <= 'z') ||
           (character >= 'A' && character <= 'Z') || (character >= '0' && character <= '9');
}

/* Whether the list of matches has @word already. */
static bool is_offered(const struct shell_completion *completion, const char *word)
{
    size_t length = strlen(word);

    for (size_t at = 0; at + length <= completion->list_length; at++) {
        const char *listed = completion->list + at;

        if ((at == 0 || listed[-1] == ' ') && strncmp(listed, word, length) == 0 &&
            (listed[length] == ' ' || listed[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* Offers the words of the usage line that begin with '-', each once: several verbs of a command may
 * have the same option. */
static void offer_options(struct shell_completion *completion, const char *usage)
{
    for (const char *at = usage; *at != '\0'; at++) {
        char option[COMPLETION_WORD_MAX + 1];
        size_t length = 0;

        if (*at != '-' || (at != usage && at[-1] != ' ' && at[-1] != '[')) {
            continue;
        }
        while (length < COMPLETION_WORD_MAX && is_option_character(at[length])) {
            option[length] = at[length];
            length++;
        }
        option[length] = '\0';
        if (!is_offered(completion, option)) {
            shell_completion_offer(completion, option);
        }
    }
}

/* Splits the last command of the copied text into words; the last one, perhaps empty, is the one to
 * complete. Returns its index, or -1 if there are too many words. */
static int split_last_command(struct shell_completion *completion, size_t length, char **argv)
{
    char *rest = words_last_command(completion->text);
    bool new_word = *rest == '\0' || completion->text[length - 1] == ' ';
    int count = 0;

    while (count < WORDS_MAX && words_take(&rest, &argv[count]) != WORDS_END) {
        count++;
    }
    if (count == WORDS_MAX) {
        return -1;
    }
    if (new_word) {
        argv[count++] = completion->text + length; /* its NUL */
    }
    return count - 1;
}

void completion_find(struct shell_completion *completion, const char *text, size_t length)
{
    char *argv[WORDS_MAX];

    *completion = (struct shell_completion){.typed = ""};
    if (length > COMPLETION_TEXT_MAX) {
        return;
    }
    memcpy(completion->text, text, length);
    int argument = split_last_command(completion, length, argv);

    if (argument < 0) {
        return;
    }
    completion->typed = argv[argument];
    completion->typed_length = strlen(argv[argument]);
    if (argument == 0) {
        offer_commands(completion, shell_commands);
        return;
    }
    const struct shell_command *command = shell_find_command(argv[0]);

    if (command == NULL) {
        return;
    }
    const struct shell_command *part = argument > 1 ? shell_find_part(command, argv[1]) : NULL;

    if (completion->typed[0] == '-') {
        offer_options(completion, part != NULL ? part->usage : command->usage);
    } else if (argument == 1 && command->parts != NULL) {
        offer_commands(completion, command->parts);
    } else if (command->complete != NULL) {
        command->complete(completion, argument, argv);
    }
}

const char *completion_rest(const struct shell_completion *completion)
{
    return completion->matches > 0 ? completion->common + completion->typed_length : "";
}
