// SPDX-License-Identifier: MIT
/* What a name typed in the shell stands for: a static key, a static call, a lazy call, a dynamic
 * call or a paravirt op. Invariant: they are looked for in this order; pv_NAME is op NAME whatever
 * else is called NAME; each list is in the order of its names, but for dynamic calls and ops.
 * Called by `sites`, `plan`, `calls` and `call`. */
#pragma once

#include <stdbool.h>

#include "arch/paravirt.h"
#include "kernel/shell.h"
#include "patching/dynamic_call.h"
#include "patching/lazy_call.h"
#include "patching/static_call.h"
#include "patching/static_key.h"

enum patchable_kind {
    PATCHABLE_KEY,
    PATCHABLE_CALL,
    PATCHABLE_LAZY,
    PATCHABLE_DYNAMIC,
    PATCHABLE_OP
};

struct patchable {
    enum patchable_kind kind;
    union {
        struct static_key *key;
        struct static_call *call;
        struct lazy_call *lazy;
        struct dynamic_call *dynamic;
        struct paravirt_op *op;
    };
};

/* Which kinds are meant: static and lazy calls; keys and ops, too; dynamic calls, too, which are
 * made of keys and calls. */
enum patchable_scope { PATCHABLE_CALLS = 1, PATCHABLE_ALL, PATCHABLE_COMPOUND };

/* Finds what is called @name. Returns false after saying, in the name of @command, that there is
 * none, and what may have been meant. */
bool patchable_find(const char *command, enum patchable_scope scope, const char *name,
                    struct patchable *found);

/* Whether @name is that of an op, for `sites` and `plan`. */
bool patchable_is_op(const char *name);

/* Offers all names. */
void patchable_complete(struct shell_completion *completion, enum patchable_scope scope);

/* A function that a call may go to. */
typedef void patchable_target(void);

/* The target that @word names for @call, which is no key and no op: one of its choices, `null` or
 * `zero`
 * (*@target is NULL then). Returns false after saying, in the name of @command, what is allowed. */
bool patchable_target_find(const char *command, const struct patchable *call, const char *word,
                           patchable_target **target);

/* Offers the targets of what is called @name, if it is a call. */
void patchable_targets_complete(struct shell_completion *completion, const char *name);
