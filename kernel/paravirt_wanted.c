// SPDX-License-Identifier: MIT
/* What a switch asks for; see paravirt_wanted.h. */
#include "kernel/paravirt_wanted.h"

#include "kernel/nearest_word.h"
#include "kernel/string.h"

/* Gives @op the backend in @wanted. */
static bool state_set(struct paravirt_states *wanted, enum paravirt_op_id op,
                      const struct paravirt_backend *backend, struct paravirt_refusal *refusal)
{
    struct paravirt_state *state = &wanted->ops[op];

    if (!backend->is_layer) {
        *state = (struct paravirt_state){.base = backend};
        return true;
    }
    if (state->layer != NULL && state->layer != backend) {
        return paravirt_refuse(refusal, "backend %s: op %s: %s stands over it already",
                               backend->name, paravirt_ops[op].name, state->layer->name);
    }
    state->layer = backend;
    return true;
}

static bool backend_check(const struct paravirt_backend *backend, struct paravirt_refusal *refusal)
{
    enum paravirt_op_id missing = paravirt_backend_missing_op(backend);

    if (missing == PARAVIRT_OP_COUNT) {
        return true;
    }
    return paravirt_refuse(refusal,
                           "backend %s: it has no way for op %s, but for others of group %s",
                           backend->name, paravirt_ops[missing].name, paravirt_ops[missing].group);
}

bool paravirt_wanted_all(struct paravirt_states *wanted, const struct paravirt_backend *backend,
                         struct paravirt_refusal *refusal)
{
    const char *first_obstacle = NULL;
    bool any = false;

    if (!backend_check(backend, refusal)) {
        return false;
    }
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const char *obstacle = paravirt_backend_tied_obstacle(backend, op, NULL);

        if (obstacle == NULL) {
            any = true;
            if (!state_set(wanted, op, backend, refusal)) {
                return false;
            }
        } else if (!backend->is_layer) {
            wanted->ops[op] = (struct paravirt_state){.base = &paravirt_backend_native};
        }
        if (obstacle != NULL && backend->ways[op] != NULL && first_obstacle == NULL) {
            first_obstacle = obstacle;
        }
    }
    if (!any) {
        return paravirt_refuse(refusal, "backend %s: %s", backend->name,
                               first_obstacle != NULL ? first_obstacle
                                                      : "it has no way for any op");
    }
    return true;
}

/* Which op or group is meant: @first is one op of it. */
static bool op_find(const char *name, const struct paravirt_backend *backend,
                    enum paravirt_op_id *first, struct paravirt_refusal *refusal)
{
    struct nearest_word nearest = {.word = name};

    for (*first = 0; *first < PARAVIRT_OP_COUNT; (*first)++) {
        const struct paravirt_op *op = &paravirt_ops[*first];

        if (op->group != NULL && strcmp(op->group, name) == 0) {
            return true;
        }
        if (strcmp(op->name, name) == 0) {
            return op->group == NULL ||
                   paravirt_refuse(refusal,
                                   "op %s changes only together with its group: pv op %s %s", name,
                                   op->group, backend->name);
        }
        nearest_word_consider(&nearest, op->group != NULL ? op->group : op->name);
    }
    if (nearest.best != NULL) {
        return paravirt_refuse(refusal, "unknown op '%s': did you mean '%s'?", name, nearest.best);
    }
    return paravirt_refuse(refusal, "unknown op '%s'; pv lists them", name);
}

bool paravirt_wanted_op(struct paravirt_states *wanted, const char *name,
                        const struct paravirt_backend *backend, struct paravirt_refusal *refusal)
{
    enum paravirt_op_id first;
    enum paravirt_op_id culprit;
    const char *obstacle;

    if (!backend_check(backend, refusal) || !op_find(name, backend, &first, refusal)) {
        return false;
    }
    obstacle = paravirt_backend_tied_obstacle(backend, first, &culprit);
    if (obstacle != NULL) {
        return paravirt_refuse(refusal, "backend %s: op %s: %s", backend->name,
                               paravirt_ops[culprit].name, obstacle);
    }
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (paravirt_ops_are_tied(first, op) && !state_set(wanted, op, backend, refusal)) {
            return false;
        }
    }
    return true;
}
