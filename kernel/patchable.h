// SPDX-License-Identifier: MIT
/* What a name typed in the shell stands for: a static key or a static call. Invariant: keys are
 * looked for first; both lists are in the order of their names. Called by `sites` and `plan`. */
#pragma once

#include <stdbool.h>

#include "kernel/shell.h"
#include "patching/static_call.h"
#include "patching/static_key.h"

enum patchable_kind { PATCHABLE_KEY, PATCHABLE_CALL };

struct patchable {
    enum patchable_kind kind;
    union {
        struct static_key *key;
        struct static_call *call;
    };
};

/* Finds what is called @name. Returns false after saying, in the name of @command, that there is
 * none, and what may have been meant. */
bool patchable_find(const char *command, const char *name, struct patchable *found);

/* Offers all names. */
void patchable_complete(struct shell_completion *completion);

/* The choice of @call that is called @name, or NULL. */
const struct static_call_choice *call_choice_find(const struct static_call *call, const char *name);

/* The target that @word names for @call: one of its choices, `null` or `zero` (*@target is NULL
 * then). Returns false after saying, in the name of @command, what is allowed. */
bool call_target_find(const char *command, const struct static_call *call, const char *word,
                      static_call_function **target);

/* Offers the targets of @call. */
void call_targets_complete(struct shell_completion *completion, const struct static_call *call);
