// SPDX-License-Identifier: MIT
/* The list of backends, the native one among them, and what each offers on this machine. Invariant:
 * the entries are in front, without a gap, and native is the first; names are unique. Called by:
 * paravirt_switch.c, `pv`, tests. */
#include "kernel/paravirt_backends.h"

#include "arch/clock.h"
#include "kernel/string.h"
#include "patching/platform.h"

/* Native time goes on from where the source that it replaces has come to. */
static const char *native_enter(enum paravirt_op_id op)
{
    if (op == PARAVIRT_clock_read && paravirt_backend_of(op) != &paravirt_backend_native) {
        clock_continue_from(clock_now_ns());
    }
    return NULL;
}

/* Its ways are paravirt_native_ways: they stand in wherever a backend has none of its own. */
const struct paravirt_backend paravirt_backend_native = {
    .name = "native",
    .summary = "the instructions and functions of the machine itself",
    .enter = native_enter,
};

#define REGISTERED(backend_name)                                                                   \
    {                                                                                              \
        .backend = &paravirt_backend_##backend_name, .who = "pv backend " #backend_name            \
    }
/* One entry stays empty: the end. */
static struct paravirt_registered registry[PARAVIRT_BACKENDS_MAX + 1] = {
    REGISTERED(native),
    REGISTERED(kvm),
    REGISTERED(counted),
};

struct paravirt_registered *paravirt_registered_at(unsigned index)
{
    return index < PARAVIRT_BACKENDS_MAX && registry[index].backend != NULL ? &registry[index]
                                                                            : NULL;
}

const struct paravirt_backend *paravirt_backend_at(unsigned index)
{
    const struct paravirt_registered *entry = paravirt_registered_at(index);

    return entry != NULL ? entry->backend : NULL;
}

const struct paravirt_backend *paravirt_backend_find(const char *name)
{
    const struct paravirt_backend *backend;

    for (unsigned i = 0; (backend = paravirt_backend_at(i)) != NULL; i++) {
        if (strcmp(backend->name, name) == 0) {
            return backend;
        }
    }
    return NULL;
}

void paravirt_backend_names(const char *names[PARAVIRT_BACKENDS_MAX + 1])
{
    for (unsigned i = 0; i <= PARAVIRT_BACKENDS_MAX; i++) {
        names[i] = registry[i].backend != NULL ? registry[i].backend->name : NULL;
    }
}

/* Records keep the names of batches longer than tests keep their backends: those have one. */
const char *paravirt_switch_who(const struct paravirt_backend *backend)
{
    for (unsigned i = 0; paravirt_backend_at(i) != NULL; i++) {
        if (registry[i].backend == backend && registry[i].who != NULL) {
            return registry[i].who;
        }
    }
    return "pv backend (test)";
}

/* For records, too: of each op, and of its group, NULL: it has none. */
#define OP_WHO(name, group, ...)                                                                   \
    [PARAVIRT_##name] = {"pv op " #name, sizeof(group) > 1 ? "pv op " group : NULL},
static const struct {
    const char *of_op, *of_group;
} op_whos[PARAVIRT_OP_COUNT] = {PARAVIRT_TABLE(OP_WHO)};

const char *paravirt_switch_op_who(const char *name)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        const char *group = paravirt_ops[op].group;

        if (group != NULL && strcmp(group, name) == 0) {
            return op_whos[op].of_group;
        }
        if (strcmp(paravirt_ops[op].name, name) == 0) {
            return op_whos[op].of_op;
        }
    }
    return "pv op"; /* there is none: refused */
}

/* ---- what tests add ---- */

bool paravirt_backend_add(const struct paravirt_backend *backend)
{
    unsigned end = 0;
    bool is_new;

    platform_change_lock();
    is_new = paravirt_backend_find(backend->name) == NULL;
    while (registry[end].backend != NULL) {
        end++;
    }
    is_new = is_new && end < PARAVIRT_BACKENDS_MAX;
    if (is_new) {
        registry[end] = (struct paravirt_registered){.backend = backend};
    }
    platform_change_unlock();
    return is_new;
}

static bool is_used(const struct paravirt_registered *entry)
{
    bool used = entry->entered != 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        used = used || paravirt_backend_of(op) == entry->backend ||
               paravirt_layer_of(op) == entry->backend;
    }
    return used;
}

bool paravirt_backend_remove(const struct paravirt_backend *backend)
{
    unsigned at = 0;
    bool is_there;

    platform_change_lock();
    while (registry[at].backend != NULL && registry[at].backend != backend) {
        at++;
    }
    is_there = registry[at].backend != NULL && registry[at].who == NULL && !is_used(&registry[at]);
    for (; is_there && registry[at].backend != NULL; at++) {
        registry[at] = registry[at + 1];
    }
    platform_change_unlock();
    return is_there;
}

/* ---- what they offer ---- */

const struct paravirt_way *paravirt_backend_way(const struct paravirt_backend *backend,
                                                enum paravirt_op_id op)
{
    return backend->ways[op] != NULL ? backend->ways[op] : paravirt_native_ways[op];
}

const char *paravirt_backend_obstacle(const struct paravirt_backend *backend,
                                      enum paravirt_op_id op)
{
    if (backend == &paravirt_backend_native) {
        return NULL;
    }
    if (backend->ways[op] == NULL) {
        return "it has no way of its own";
    }
    return backend->obstacle != NULL ? backend->obstacle(op) : NULL;
}

bool paravirt_ops_are_tied(enum paravirt_op_id left, enum paravirt_op_id right)
{
    const char *group = paravirt_ops[left].group;
    const char *other = paravirt_ops[right].group;

    return left == right || (group != NULL && other != NULL && strcmp(group, other) == 0);
}

const char *paravirt_backend_tied_obstacle(const struct paravirt_backend *backend,
                                           enum paravirt_op_id op, enum paravirt_op_id *culprit)
{
    const char *reason = paravirt_backend_obstacle(backend, op);
    enum paravirt_op_id at = op;

    for (enum paravirt_op_id i = 0; i < PARAVIRT_OP_COUNT && reason == NULL; i++) {
        if (paravirt_ops_are_tied(op, i)) {
            reason = paravirt_backend_obstacle(backend, i);
            at = i;
        }
    }
    if (culprit != NULL) {
        *culprit = at;
    }
    return reason;
}

enum paravirt_op_id paravirt_backend_missing_op(const struct paravirt_backend *backend)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        for (enum paravirt_op_id other = 0; other < PARAVIRT_OP_COUNT; other++) {
            if (backend->ways[op] == NULL && backend->ways[other] != NULL &&
                paravirt_ops_are_tied(op, other)) {
                return op;
            }
        }
    }
    return PARAVIRT_OP_COUNT;
}
