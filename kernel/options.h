// SPDX-License-Identifier: MIT
/* Options of shell commands: a table says which there are and where their values go. Invariant:
 * either every word was understood, or one line on the console names the command, the option and
 * the culprit, and says what is allowed. Called by commands:
 *
 *     bool json = false;
 *     uint64_t flips = 1000;
 *     struct number_list sites = {.count = 2, .values = {1, 56}};
 *     const struct option options[] = {
 *         OPTION_JSON(&json),
 *         OPTION_NUMBER("--flips", &flips, 1, 1000000),
 *         OPTION_NUMBER_LIST("--sites", &sites, 1, 256),
 *     };
 *     if (!options_parse(options, ARRAY_COUNT(options), &argc, argv, 0, 0)) {
 *         return COMMAND_USAGE;
 *     }
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ARRAY_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#define NUMBER_LIST_MAX 256

struct number_list {
    size_t count;
    uint64_t values[NUMBER_LIST_MAX];
};

enum option_kind {
    OPTION_KIND_FLAG,        /* --name                bool: set to true */
    OPTION_KIND_NUMBER,      /* --name 12             uint64_t */
    OPTION_KIND_NUMBER_LIST, /* --name 1,4,8-16       struct number_list */
    OPTION_KIND_CHOICE,      /* --name WORD           uint64_t: its index among the choices */
    OPTION_KIND_CHOICE_LIST, /* --name WORD,WORD      struct number_list: their indices */
    OPTION_KIND_TEXT,        /* --name anything       const char * */
};

struct option {
    const char *name; /* with its dashes */
    enum option_kind kind;
    void *value;                /* by kind; left alone if the option is not given */
    uint64_t minimum, maximum;  /* numbers */
    const char *const *choices; /* ended by NULL */
};

/* The typed pointers make the compiler check the value's type. */
#define OPTION_FLAG(name, bool_pointer)                                                            \
    {                                                                                              \
        (name), OPTION_KIND_FLAG, (bool *){bool_pointer}, 0, 0, NULL                               \
    }
#define OPTION_JSON(bool_pointer) OPTION_FLAG("-j", bool_pointer)
#define OPTION_NUMBER(name, uint64_pointer, minimum, maximum)                                      \
    {                                                                                              \
        (name), OPTION_KIND_NUMBER, (uint64_t *){uint64_pointer}, (minimum), (maximum), NULL       \
    }
#define OPTION_NUMBER_LIST(name, list_pointer, minimum, maximum)                                   \
    {                                                                                              \
        (name), OPTION_KIND_NUMBER_LIST, (struct number_list *){list_pointer}, (minimum),          \
            (maximum), NULL                                                                        \
    }
#define OPTION_CHOICE(name, uint64_pointer, choices)                                               \
    {                                                                                              \
        (name), OPTION_KIND_CHOICE, (uint64_t *){uint64_pointer}, 0, 0, (choices)                  \
    }
#define OPTION_CHOICE_LIST(name, list_pointer, choices)                                            \
    {                                                                                              \
        (name), OPTION_KIND_CHOICE_LIST, (struct number_list *){list_pointer}, 0, 0, (choices)     \
    }
#define OPTION_TEXT(name, text_pointer)                                                            \
    {                                                                                              \
        (name), OPTION_KIND_TEXT, (const char **){text_pointer}, 0, 0, NULL                        \
    }

/* Understands "--name VALUE" and "--name=VALUE" anywhere among the words; "--" ends the options. On
 * success argv[1] up to argv[*argc - 1] are the other words, between @least and @most of them.
 * Context: thread. Returns false after printing the error; values may then have been changed. */
bool options_parse(const struct option *options, size_t count, int *argc, char **argv, int least,
                   int most);

/* Reads a whole word as a decimal or 0x number. Returns false if it is none or exceeds 64 bits. */
bool options_read_number(const char *word, uint64_t *value);
