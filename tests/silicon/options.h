// SPDX-License-Identifier: MIT
/* The command line of `silicon`. Invariant: whatever is not understood is named, and nothing runs.
 * Used by: main.c, and by the measurements for how long they may take. */
#pragma once

#include <stdbool.h>

struct options {
    bool json;
    bool quick;       /* about ten seconds: shows that it works, measures badly */
    const char *only; /* name of one measurement, or NULL: all */
};
extern struct options options;

/* Fills in @options. Ends the program after --help (0) and bad input (2). @names: those of the
 * measurements, NULL at the end. */
void options_parse(int count, char **words, const char *const *names);
