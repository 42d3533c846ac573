// SPDX-License-Identifier: MIT
/* "Did you mean ...": the candidate that needs the fewest typing errors. Invariant: no allocation,
 * no state but the caller's. Called by the shell for commands, by commands for names, by the kernel
 * command line:
 *
 *     struct nearest_word nearest = {.word = argv[1]};
 *     for (each key) {
 *         nearest_word_consider(&nearest, key->name);
 *     }
 *     if (nearest.best != NULL) ... */
#pragma once

/* Longer words are never near. */
#define NEAREST_WORD_MAX 32

struct nearest_word {
    const char *word; /* what was typed */
    const char *best; /* NULL: nothing is near enough to be meant */
    unsigned distance;
};

void nearest_word_consider(struct nearest_word *nearest, const char *candidate);

/* Typing errors between two words: characters left out, added, replaced, or neighbours swapped (the
 * optimal string alignment distance). Returns NEAREST_WORD_MAX + 1 if a word is too long. */
unsigned nearest_word_distance(const char *left, const char *right);
