// SPDX-License-Identifier: MIT
/* See options.h. */
#include "tests/silicon/options.h"

#include "tests/silicon/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ONLY_IS "--only="

struct options options;

static void print_usage(FILE *stream, const char *const *names)
{
    fprintf(stream, "usage: silicon [-j] [--quick] [--only NAME]\n"
                    "  -j, --json    one JSON object a line\n"
                    "  --quick       ten seconds instead of two minutes; the figures are rough\n"
                    "  --only NAME   one measurement; --only=NAME too:");
    for (; *names != NULL; names++) {
        fprintf(stream, " %s", *names);
    }
    fprintf(stream, "\n  -h, --help    this text\n");
}

static _Noreturn void refuse(const char *what, const char *word, const char *const *names)
{
    fprintf(stderr, "silicon: %s '%s'\n", what, word);
    print_usage(stderr, names);
    exit(2);
}

static const char *name_check(const char *word, const char *const *names)
{
    for (const char *const *name = names; *name != NULL; name++) {
        if (strcmp(word, *name) == 0) {
            return *name;
        }
    }
    refuse("no measurement", word, names);
}

void options_parse(int count, char **words, const char *const *names)
{
    for (int i = 1; i < count; i++) {
        const char *word = words[i];

        if (strcmp(word, "-j") == 0 || strcmp(word, "--json") == 0) {
            options.json = true;
        } else if (strcmp(word, "--quick") == 0) {
            options.quick = true;
        } else if (strncmp(word, ONLY_IS, strlen(ONLY_IS)) == 0) {
            options.only = name_check(word + strlen(ONLY_IS), names);
        } else if (strcmp(word, "--only") == 0 && i + 1 == count) {
            refuse("no name behind", word, names);
        } else if (strcmp(word, "--only") == 0) {
            options.only = name_check(words[++i], names);
        } else if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0) {
            print_usage(stdout, names);
            report_flush();
            exit(0);
        } else {
            refuse("unknown option", word, names);
        }
    }
}
