// SPDX-License-Identifier: MIT
/* Changing the backends and the form of paravirt ops; see paravirt_switch.h for what may go wrong.
 * Invariant: `states` is what the sites show, whenever the change lock is free; either all ops of a
 * group have a backend of their own or none. Called by: boot, `pv`, tests. */
#include "kernel/paravirt_switch.h"

#include "kernel/format.h"
#include "kernel/nearest_word.h"
#include "kernel/paravirt_backends.h"
#include "kernel/paravirt_hazards.h"
#include "kernel/patch_error_text.h"
#include "kernel/string.h"
#include "patching/platform.h"

/* under the change lock; atomic, for readers without it: */
#define NATIVE_STATE(name, ...) {&paravirt_backend_native, NULL},
static struct paravirt_states states = {{PARAVIRT_TABLE(NATIVE_STATE)}};

paravirt_function *paravirt_below[PARAVIRT_OP_COUNT];

const char *const paravirt_form_names[PARAVIRT_FORM_COUNT + 1] = {
    [PARAVIRT_INDIRECT] = "indirect",
    [PARAVIRT_DIRECT] = "direct",
    [PARAVIRT_INLINE] = "inline",
};

/* Records keep these. */
static const char *const form_whos[PARAVIRT_FORM_COUNT] = {
    [PARAVIRT_INDIRECT] = "pv form indirect",
    [PARAVIRT_DIRECT] = "pv form direct",
    [PARAVIRT_INLINE] = "pv form inline",
};

const struct paravirt_backend *paravirt_backend_of(enum paravirt_op_id op)
{
    return __atomic_load_n(&states.ops[op].base, __ATOMIC_RELAXED);
}

const struct paravirt_backend *paravirt_layer_of(enum paravirt_op_id op)
{
    return __atomic_load_n(&states.ops[op].layer, __ATOMIC_RELAXED);
}

bool paravirt_is_counted(enum paravirt_op_id op)
{
    return paravirt_layer_of(op) != NULL;
}

const char *paravirt_form_who(enum paravirt_form form)
{
    return form_whos[form];
}

bool paravirt_refuse(struct paravirt_refusal *refusal, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    format_text_va(refusal->text, sizeof(refusal->text), format, arguments);
    va_end(arguments);
    return false;
}

/* ---- the batch ---- */

static bool is_same(const struct paravirt_state *left, const struct paravirt_state *right)
{
    return left->base == right->base && left->layer == right->layer;
}

static const struct paravirt_way *state_way(const struct paravirt_state *state,
                                            enum paravirt_op_id op)
{
    return paravirt_backend_way(state->layer != NULL ? state->layer : state->base, op);
}

/* Release: pairs with the slot and the text, which a layer's way is called through: it finds what
 * to forward to. An op that had the layer before has the same base, and so the same value. */
static void layers_prepare(const struct paravirt_states *wanted)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (wanted->ops[op].layer != NULL) {
            __atomic_store_n(&paravirt_below[op],
                             paravirt_backend_way(wanted->ops[op].base, op)->function,
                             __ATOMIC_RELEASE);
        }
    }
}

static bool changes_run(const char *who, struct patch_change *changes, size_t count,
                        struct paravirt_refusal *refusal)
{
    char text[PATCH_ERROR_TEXT_MAX];
    struct patch_error *error = &refusal->patch;
    enum patch_status status = PATCH_OK;

    if (count > 0) {
        status = patch_transaction(who, changes, count, error);
    }
    if (status == PATCH_OK) {
        return true;
    }
    return paravirt_refuse(refusal, "%s%s%s", error->name != NULL ? error->name : "",
                           error->name != NULL ? ": " : "", patch_error_text(error, text));
}

/* Changes text and slots of all ops whose state is not yet the wanted one. */
static bool text_change(const char *who, const struct paravirt_states *wanted,
                        struct paravirt_refusal *refusal)
{
    struct patch_change changes[PARAVIRT_OP_COUNT];
    size_t count = 0;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (!is_same(&states.ops[op], &wanted->ops[op])) {
            changes[count++] =
                paravirt_change_to(&paravirt_ops[op], state_way(&wanted->ops[op], op));
        }
    }
    return changes_run(who, changes, count, refusal);
}

static void states_write(const struct paravirt_states *wanted)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        __atomic_store_n(&states.ops[op].base, wanted->ops[op].base, __ATOMIC_RELAXED);
        __atomic_store_n(&states.ops[op].layer, wanted->ops[op].layer, __ATOMIC_RELAXED);
    }
}

/* Makes the wanted states true, all or none. Context: change lock held. */
static bool states_change(const char *who, const struct paravirt_states *wanted,
                          struct paravirt_refusal *refusal)
{
    bool is_done = paravirt_hazards_begin(&states, wanted, refusal);

    if (is_done) {
        layers_prepare(wanted);
        is_done = text_change(who, wanted, refusal);
    }
    if (is_done) {
        states_write(wanted);
    }
    paravirt_hazards_end(&states);
    return is_done;
}

/* ---- what to change ---- */

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

/* All ops to @backend in @wanted, native those that cannot. */
static bool states_set_all(struct paravirt_states *wanted, const struct paravirt_backend *backend,
                           struct paravirt_refusal *refusal)
{
    const char *first_obstacle = NULL;
    bool any = false;

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

/* One op or group to @backend in @wanted. */
static bool states_set_op(struct paravirt_states *wanted, const char *name,
                          const struct paravirt_backend *backend, struct paravirt_refusal *refusal)
{
    enum paravirt_op_id first;
    enum paravirt_op_id culprit;
    const char *obstacle;

    if (!op_find(name, backend, &first, refusal)) {
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

/* ---- the switches ---- */

/* Takes the change lock, if this context may. */
static bool switch_begin(struct paravirt_refusal *refusal)
{
    *refusal = (struct paravirt_refusal){.text = ""};
    if (!platform_may_patch()) {
        refusal->patch.status = PATCH_ERR_CONTEXT;
        return paravirt_refuse(refusal, "%s", patch_status_text(PATCH_ERR_CONTEXT));
    }
    platform_change_lock();
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

/* @name: of an op or a group; NULL: all. */
static bool switch_to(const char *name, const struct paravirt_backend *backend,
                      struct paravirt_refusal *refusal)
{
    struct paravirt_states wanted;
    bool is_done;

    if (!switch_begin(refusal)) {
        return false;
    }
    wanted = states;
    is_done = backend_check(backend, refusal) &&
              (name == NULL ? states_set_all(&wanted, backend, refusal)
                            : states_set_op(&wanted, name, backend, refusal)) &&
              states_change(paravirt_switch_who(backend), &wanted, refusal);
    platform_change_unlock();
    return is_done;
}

bool paravirt_switch_all(const struct paravirt_backend *backend, struct paravirt_refusal *refusal)
{
    return switch_to(NULL, backend, refusal);
}

bool paravirt_switch_op(const char *name, const struct paravirt_backend *backend,
                        struct paravirt_refusal *refusal)
{
    return switch_to(name, backend, refusal);
}

bool paravirt_switch_uncounted(struct paravirt_refusal *refusal)
{
    struct paravirt_states wanted;
    bool is_done;

    if (!switch_begin(refusal)) {
        return false;
    }
    wanted = states;
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        wanted.ops[op].layer = NULL;
    }
    is_done = states_change("pv uncounted", &wanted, refusal);
    platform_change_unlock();
    return is_done;
}

bool paravirt_switch_form(enum paravirt_form form, struct paravirt_refusal *refusal)
{
    struct patch_change changes[PARAVIRT_OP_COUNT];
    bool is_done;

    if (!switch_begin(refusal)) {
        return false;
    }
    if (form >= PARAVIRT_FORM_COUNT) {
        platform_change_unlock();
        return paravirt_refuse(refusal, "form %u does not exist", (unsigned)form);
    }
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        changes[op] = paravirt_form_change_to(&paravirt_ops[op], form);
    }
    is_done = changes_run(form_whos[form], changes, PARAVIRT_OP_COUNT, refusal);
    platform_change_unlock();
    return is_done;
}

enum paravirt_form paravirt_form(void)
{
    return __atomic_load_n(&paravirt_ops[0].form, __ATOMIC_RELAXED);
}
