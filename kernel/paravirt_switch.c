// SPDX-License-Identifier: MIT
/* Changing the backends and the form of paravirt ops; see paravirt_switch.h for what may go wrong.
 * Invariant: `states` is what the sites show, whenever the change lock is free; either all ops of a
 * group have a backend of their own or none. Called by: boot, `pv`, tests. */
#include "kernel/paravirt_switch.h"

#include "kernel/format.h"
#include "kernel/log.h"
#include "kernel/paravirt_backends.h"
#include "kernel/paravirt_hazards.h"
#include "kernel/paravirt_wanted.h"
#include "kernel/patch_error_text.h"
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
    return form < PARAVIRT_FORM_COUNT ? form_whos[form] : "pv form";
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

/* For its record. */
struct asked {
    const char *who;
    uint64_t caller; /* of the public function */
};

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

static bool changes_run(const struct asked *asked, struct patch_change *changes, size_t count,
                        struct paravirt_refusal *refusal)
{
    char text[PATCH_ERROR_TEXT_MAX];
    struct patch_error *error = &refusal->patch;
    enum patch_status status = PATCH_OK;

    if (count > 0) {
        platform_lock();
        status = patch_transaction_locked(asked->who, asked->caller, changes, count, error);
        platform_unlock();
    }
    if (status == PATCH_OK) {
        return true;
    }
    patch_error_text(error, text);
    return error->name != NULL ? paravirt_refuse(refusal, "op %s: %s", error->name, text)
                               : paravirt_refuse(refusal, "%s", text);
}

/* Changes text and slots of all ops whose state is not yet the wanted one. */
static bool text_change(const struct asked *asked, const struct paravirt_states *wanted,
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
    return changes_run(asked, changes, count, refusal);
}

static void states_write(const struct paravirt_states *wanted)
{
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        __atomic_store_n(&states.ops[op].base, wanted->ops[op].base, __ATOMIC_RELAXED);
        __atomic_store_n(&states.ops[op].layer, wanted->ops[op].layer, __ATOMIC_RELAXED);
    }
}

/* Makes the wanted states true, all or none. Context: change lock held. */
static bool states_change(const struct asked *asked, const struct paravirt_states *wanted,
                          struct paravirt_refusal *refusal)
{
    bool is_done = paravirt_hazards_begin(&states, wanted, refusal);

    if (is_done) {
        layers_prepare(wanted);
        is_done = text_change(asked, wanted, refusal);
    }
    if (is_done) {
        states_write(wanted);
    }
    paravirt_hazards_end(&states);
    return is_done;
}

/* ---- the switches ----
 *
 * Never inlined: their return addresses say who asked. */

#define ASKED(name)                                                                                \
    {                                                                                              \
        .who = (name), .caller = (uint64_t)__builtin_return_address(0)                             \
    }

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

/* @name: of an op or a group; NULL: all. */
static bool switch_to(const struct asked *asked, const char *name,
                      const struct paravirt_backend *backend, struct paravirt_refusal *refusal)
{
    struct paravirt_states wanted;
    bool is_done;

    if (!switch_begin(refusal)) {
        return false;
    }
    wanted = states;
    is_done = (name == NULL ? paravirt_wanted_all(&wanted, backend, refusal)
                            : paravirt_wanted_op(&wanted, name, backend, refusal)) &&
              states_change(asked, &wanted, refusal);
    platform_change_unlock();
    return is_done;
}

__attribute__((noinline)) bool paravirt_switch_all(const struct paravirt_backend *backend,
                                                   struct paravirt_refusal *refusal)
{
    const struct asked asked = ASKED(paravirt_switch_who(backend));

    return switch_to(&asked, NULL, backend, refusal);
}

__attribute__((noinline)) bool paravirt_switch_op(const char *name,
                                                  const struct paravirt_backend *backend,
                                                  struct paravirt_refusal *refusal)
{
    const struct asked asked = ASKED(paravirt_switch_op_who(name));

    return switch_to(&asked, name, backend, refusal);
}

__attribute__((noinline)) bool paravirt_switch_uncounted(struct paravirt_refusal *refusal)
{
    const struct asked asked = ASKED("pv uncounted");
    struct paravirt_states wanted;
    bool is_done;

    if (!switch_begin(refusal)) {
        return false;
    }
    wanted = states;
    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        wanted.ops[op].layer = NULL;
    }
    is_done = states_change(&asked, &wanted, refusal);
    platform_change_unlock();
    return is_done;
}

__attribute__((noinline)) bool paravirt_switch_form(enum paravirt_form form,
                                                    struct paravirt_refusal *refusal)
{
    const struct asked asked = ASKED(paravirt_form_who(form));
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
    is_done = changes_run(&asked, changes, PARAVIRT_OP_COUNT, refusal);
    platform_change_unlock();
    return is_done;
}

enum paravirt_form paravirt_form(void)
{
    return __atomic_load_n(&paravirt_ops[0].form, __ATOMIC_RELAXED);
}

/* ---- what a switch could not put back ---- */

struct paravirt_leftovers paravirt_leftovers(void)
{
    return paravirt_hazards_left(&states);
}

bool paravirt_leftovers_retry(void)
{
    struct paravirt_leftovers left;

    platform_change_lock();
    paravirt_hazards_end(&states);
    left = paravirt_hazards_left(&states);
    platform_change_unlock();
    return !left.halting_forbidden && !left.clock_floor && left.ways == 0;
}

void paravirt_leftovers_step(void)
{
    if (paravirt_hazards_retry_is_due() && paravirt_leftovers_retry()) {
        log_info("paravirt ops: put back what a switch had left");
    }
}
