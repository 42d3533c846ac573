// SPDX-License-Identifier: MIT
/* Options of shell commands. Invariant: every refusal is one line "COMMAND: OPTION: what is wrong,
 * what is allowed". Called by shell commands and host tests. */
#include "kernel/options.h"

#include "kernel/console.h"
#include "kernel/format.h"
#include "kernel/string.h"

/* What an error message names. */
struct context {
    const char *command;
    const struct option *option;
};

enum number_result { NUMBER_READ, NUMBER_NONE, NUMBER_TOO_LARGE };

static int digit_value(char character)
{
    if (character >= '0' && character <= '9') {
        return character - '0';
    }
    character |= 0x20; /* lower case */
    return character >= 'a' && character <= 'f' ? character - 'a' + 10 : 16;
}

/* Reads a number that fills @length characters. One of more than 64 bits is a number too large for
 * any range. */
static enum number_result read_number(const char *word, size_t length, uint64_t *value)
{
    enum number_result outcome = NUMBER_READ;
    uint64_t base = 10;
    uint64_t result = 0;
    size_t i = 0;

    if (length > 2 && word[0] == '0' && (word[1] == 'x' || word[1] == 'X')) {
        base = 16;
        i = 2;
    }
    if (i == length) {
        return NUMBER_NONE;
    }
    for (; i < length; i++) {
        uint64_t digit = (uint64_t)digit_value(word[i]);

        if (digit >= base) {
            return NUMBER_NONE;
        }
        if (result > (UINT64_MAX - digit) / base) {
            outcome = NUMBER_TOO_LARGE;
        }
        result = result * base + digit;
    }
    *value = result;
    return outcome;
}

bool options_read_number(const char *word, uint64_t *value)
{
    return read_number(word, strlen(word), value) == NUMBER_READ;
}

/* Reads one number of an option and checks its range; prints what is wrong. */
static bool read_in_range(const struct context *context, const char *word, size_t length,
                          uint64_t *value)
{
    const struct option *option = context->option;
    const char *fault = NULL;
    enum number_result outcome = read_number(word, length, value);

    if (outcome == NUMBER_NONE) {
        fault = "is not a number";
    } else if (outcome == NUMBER_TOO_LARGE || *value < option->minimum ||
               *value > option->maximum) {
        fault = "is out of range";
    }
    if (fault != NULL) {
        console_print("%s: %s: '%.*s' %s (allowed: %llu to %llu)\n", context->command, option->name,
                      (int)length, word, fault, (unsigned long long)option->minimum,
                      (unsigned long long)option->maximum);
    }
    return fault == NULL;
}

static size_t length_until(const char *text, char end)
{
    size_t length = 0;

    while (text[length] != '\0' && text[length] != end) {
        length++;
    }
    return length;
}

static bool list_add(const struct context *context, struct number_list *list, uint64_t value)
{
    if (list->count == NUMBER_LIST_MAX) {
        console_print("%s: %s: more than %d values\n", context->command, context->option->name,
                      NUMBER_LIST_MAX);
        return false;
    }
    list->values[list->count++] = value;
    return true;
}

/* Adds "8" or "8-16" to the list. */
static bool add_number_item(const struct context *context, struct number_list *list,
                            const char *item, size_t length)
{
    size_t first_length = length_until(item, '-');
    uint64_t first;
    uint64_t last;

    if (first_length >= length || first_length == 0 || first_length == length - 1) {
        return read_in_range(context, item, length, &first) && list_add(context, list, first);
    }
    const char *last_word = item + first_length + 1;

    if (!read_in_range(context, item, first_length, &first) ||
        !read_in_range(context, last_word, length - first_length - 1, &last)) {
        return false;
    }
    if (last < first) {
        console_print("%s: %s: range '%.*s' ends before it begins\n", context->command,
                      context->option->name, (int)length, item);
        return false;
    }
    for (uint64_t value = first; value <= last; value++) {
        if (!list_add(context, list, value)) {
            return false;
        }
    }
    return true;
}

/* Finds the choice; prints the choices if there is no such word. */
static bool read_choice(const struct context *context, const char *word, size_t length,
                        uint64_t *index)
{
    const char *const *choices = context->option->choices;

    for (size_t i = 0; choices[i] != NULL; i++) {
        if (strlen(choices[i]) == length && strncmp(choices[i], word, length) == 0) {
            *index = i;
            return true;
        }
    }
    char allowed[256] = "";
    size_t used = 0;

    for (size_t i = 0; choices[i] != NULL && used < sizeof(allowed); i++) {
        used +=
            format_text(allowed + used, sizeof(allowed) - used, i == 0 ? "%s" : ", %s", choices[i]);
    }
    console_print("%s: %s: '%.*s' is unknown (allowed: %s)\n", context->command,
                  context->option->name, (int)length, word, allowed);
    return false;
}

static bool add_choice_item(const struct context *context, struct number_list *list,
                            const char *item, size_t length)
{
    uint64_t index;

    return read_choice(context, item, length, &index) && list_add(context, list, index);
}

/* Replaces the list by the comma-separated items of @text. */
static bool read_list(const struct context *context, const char *text)
{
    struct number_list *list = context->option->value;
    bool numbers = context->option->kind == OPTION_KIND_NUMBER_LIST;

    list->count = 0;
    for (;;) {
        size_t length = length_until(text, ',');
        bool good = numbers ? add_number_item(context, list, text, length)
                            : add_choice_item(context, list, text, length);

        if (!good || text[length] == '\0') {
            return good;
        }
        text += length + 1;
    }
}

static bool store_value(const struct context *context, const char *text)
{
    const struct option *option = context->option;

    switch (option->kind) {
    case OPTION_KIND_NUMBER:
        return read_in_range(context, text, strlen(text), option->value);
    case OPTION_KIND_CHOICE:
        return read_choice(context, text, strlen(text), option->value);
    case OPTION_KIND_NUMBER_LIST:
    case OPTION_KIND_CHOICE_LIST:
        return read_list(context, text);
    case OPTION_KIND_TEXT:
        *(const char **)option->value = text;
        return true;
    case OPTION_KIND_FLAG:
        break;
    }
    return false;
}

/* Finds the option that @word names, up to its end or to a '='. */
static const struct option *find_option(const struct option *options, size_t count,
                                        const char *word)
{
    size_t length = length_until(word, '=');

    for (size_t i = 0; i < count; i++) {
        if (strlen(options[i].name) == length && strncmp(options[i].name, word, length) == 0) {
            return &options[i];
        }
    }
    return NULL;
}

/* Handles the option at argv[*next] and moves *@next behind it and its value. */
static bool parse_option(const struct context *context, int *next, int argc, char **argv)
{
    const struct option *option = context->option;
    const char *word = argv[(*next)++];
    const char *value = word + length_until(word, '=');
    bool attached = *value == '=';

    if (option->kind == OPTION_KIND_FLAG) {
        if (attached) {
            console_print("%s: %s: takes no value, but '%s' follows\n", context->command,
                          option->name, value + 1);
            return false;
        }
        *(bool *)option->value = true;
        return true;
    }
    if (attached) {
        return store_value(context, value + 1);
    }
    if (*next == argc) {
        console_print("%s: %s: value missing\n", context->command, option->name);
        return false;
    }
    return store_value(context, argv[(*next)++]);
}

static bool check_count(const char *command, int words, char **argv, int least, int most)
{
    if (words < least) {
        console_print("%s: argument missing\n", command);
        return false;
    }
    if (words > most) {
        console_print("%s: unexpected argument '%s'\n", command, argv[most + 1]);
        return false;
    }
    return true;
}

bool options_parse(const struct option *options, size_t count, int *argc, char **argv, int least,
                   int most)
{
    struct context context = {.command = argv[0]};
    bool options_ended = false;
    int words = 0;
    int next = 1;

    while (next < *argc) {
        char *word = argv[next];

        if (options_ended || word[0] != '-' || word[1] == '\0') {
            argv[++words] = word;
            next++;
        } else if (strcmp(word, "--") == 0) {
            options_ended = true;
            next++;
        } else {
            context.option = find_option(options, count, word);
            if (context.option == NULL) {
                console_print("%s: unknown option '%s'\n", argv[0], word);
                return false;
            }
            if (!parse_option(&context, &next, *argc, argv)) {
                return false;
            }
        }
    }
    *argc = words + 1;
    return check_count(argv[0], words, argv, least, most);
}
