// SPDX-License-Identifier: MIT
/* "Did you mean ...". Invariant: row i of the distance table needs only the rows i-1 and i-2, so
 * three rows on the stack do. Called by the shell, commands and the kernel command line. */
#include "kernel/nearest_word.h"

#include <stddef.h>

#include "kernel/string.h"

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

unsigned nearest_word_distance(const char *left, const char *right)
{
    unsigned rows[3][NEAREST_WORD_MAX + 1];
    size_t height = strlen(left);
    size_t width = strlen(right);

    if (height > NEAREST_WORD_MAX || width > NEAREST_WORD_MAX) {
        return NEAREST_WORD_MAX + 1;
    }
    for (size_t i = 0; i <= height; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *two_above = rows[(i + 1) % 3];

        row[0] = (unsigned)i;
        for (size_t j = 1; j <= width; j++) {
            if (i == 0) {
                row[j] = (unsigned)j;
                continue;
            }
            unsigned replaced = above[j - 1] + (left[i - 1] != right[j - 1]);

            row[j] = least(replaced, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1]) {
                row[j] = least(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[height % 3][width];
}

void nearest_word_consider(struct nearest_word *nearest, const char *candidate)
{
    unsigned distance = nearest_word_distance(nearest->word, candidate);
    unsigned limit = least(1 + (unsigned)strlen(nearest->word) / 4, NEAREST_WORD_MAX);

    if (distance <= limit && (nearest->best == NULL || distance < nearest->distance)) {
        nearest->best = candidate;
        nearest->distance = distance;
    }
}
