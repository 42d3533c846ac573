// SPDX-License-Identifier: MIT
/* The backends there are, each in a file of its own, and what the registry knows of them.
 * Invariant: which ops have one is no concern of theirs: kernel/paravirt_switch.h. Included by: the
 * registry (paravirt_backends.c), paravirt_switch.c, and each backend's own file. */
#pragma once

#include "kernel/paravirt_switch.h"

extern const struct paravirt_backend paravirt_backend_native;  /* paravirt_backends.c */
extern const struct paravirt_backend paravirt_backend_kvm;     /* paravirt_kvm.c */
extern const struct paravirt_backend paravirt_backend_counted; /* paravirt_counted.c */

struct paravirt_registered {
    const struct paravirt_backend *backend; /* NULL: the end */
    const char *who;                        /* of batches of all ops; NULL: a test's */
    /* under the change lock: */
    uint32_t entered; /* ops whose enter() was called and whose leave() was not, as bits */
};
_Static_assert(PARAVIRT_OP_COUNT <= 32, "a bit for each op");

/* What one op has, and all of them. */
struct paravirt_state {
    const struct paravirt_backend *base;
    const struct paravirt_backend *layer; /* NULL: none */
};
struct paravirt_states {
    struct paravirt_state ops[PARAVIRT_OP_COUNT];
};

/* Writes the text. Returns false, for the caller to return. */
bool paravirt_refuse(struct paravirt_refusal *refusal, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Entry @index; NULL behind the last one. Context: any. */
struct paravirt_registered *paravirt_registered_at(unsigned index);

/* The way that @op goes with @backend as its base: the native one if it has none of its own. */
const struct paravirt_way *paravirt_backend_way(const struct paravirt_backend *backend,
                                                enum paravirt_op_id op);

/* Whether two ops may only change together: an op with itself, and ops of one group. */
bool paravirt_ops_are_tied(enum paravirt_op_id left, enum paravirt_op_id right);

/* The reason of paravirt_backend_obstacle() for @op or, if none, for an op that is tied to it;
 * that one's number in @culprit (may be NULL). Returns NULL if nothing stands in the way. */
const char *paravirt_backend_tied_obstacle(const struct paravirt_backend *backend,
                                           enum paravirt_op_id op, enum paravirt_op_id *culprit);

/* An op that @backend has no way for, although it has one for another op of the same group: lets
 * them work in pairs that do not fit. Returns PARAVIRT_OP_COUNT if there is none. */
enum paravirt_op_id paravirt_backend_missing_op(const struct paravirt_backend *backend);
