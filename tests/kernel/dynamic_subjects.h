// SPDX-License-Identifier: MIT
/* Dynamic calls to be changed: one of each number of slots, and one at the end of a function.
 * Invariant: whoever is reached says so, and what it was given; between suites slots are empty and
 * nobody learns. Callers: suite_dynamic_call.c, suite_dynamic_learning.c,
 * suite_dynamic_worker.c, suite_dynamic_torture.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "patching/dynamic_auto.h"
#include "tests/kernel/test.h"

#define DYNAMIC_TARGETS  32
#define DYNAMIC_SUBJECTS 5

/* What target @target returns for these arguments. */
#define DYNAMIC_ANSWER(target, first, second) ((((first) ^ (second) << 8) * 64) + (target))

/* Takes its time between comparison and call. */
typedef uint64_t dynamic_pause(uint64_t argument);

struct dynamic_subject {
    struct dynamic_call *call;
    /* Calls a target. Returns what it answered. */
    uint64_t (*reach)(unsigned target, uint64_t first, uint64_t second);
    /* The same from another place: once it is clear where the call will go, and before it goes
     * there, pause(first) makes the first argument. */
    uint64_t (*reach_paused)(unsigned target, uint64_t first, uint64_t second,
                             dynamic_pause *pause);
    uint64_t (*reach_null)(void);
};

/* Slots 1 to 4, whose paused calls are tail calls where the compiler likes; and one that returns
 * nothing, always at the end of a function, with 2. */
extern const struct dynamic_subject dynamic_subjects[DYNAMIC_SUBJECTS];

/* Calls nobody; has no site. */
extern struct dynamic_call *const dynamic_uncalled;

uint64_t dynamic_subject_target(const struct dynamic_subject *subject, unsigned target);

/* What it is, and what learning makes of it. */
struct dynamic_call_view dynamic_subject_view(const struct dynamic_subject *subject);
struct dynamic_auto_view dynamic_subject_choice(const struct dynamic_subject *subject);

/* Slots name targets @first to @first + @count - 1. */
struct dynamic_call_form dynamic_subject_form(const struct dynamic_subject *subject, unsigned first,
                                              unsigned count, enum dynamic_compare compare);

/* Makes it so, and expects that it is done. */
bool dynamic_subject_set(struct test *test, const struct dynamic_subject *subject,
                         const struct dynamic_call_form *form);

/* Watched calls behind the closed gate take the chain from now on. */
bool dynamic_subject_go_through(const struct dynamic_subject *subject);

/* All targets are reached, from both places. */
void dynamic_subject_expect(struct test *test, const struct dynamic_subject *subject);

/* As at boot. */
void dynamic_subject_put_back(struct test *test, const struct dynamic_subject *subject);
