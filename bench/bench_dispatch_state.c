// SPDX-License-Identifier: MIT
/* A dispatcher for a bench: filled, shaped, and left as it was found. Invariant: a failure is a
 * message that names it; nobody else uses the dispatcher, or the bench does not begin. Called by:
 * bench_dispatch.c, bench_net_entries.c. */
#include "bench/bench_dispatch_state.h"

#include "arch/clock.h"
#include "kernel/console.h"
#include "kernel/choice_worker.h"
#include "kernel/grace_period.h"
#include "kernel/patch_error_text.h"
#include "patching/dispatcher_auto.h"

#define CHOICE_PATIENCE_NS 10000000000ull
#define CHOICE_BUDGET      100000u /* patches a second: the bench waits for them */

static bool is_done(const struct dispatch_state *state, const char *what, enum patch_status status,
                    const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("%s: %s: %s\n", state->command, what, patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

static bool auto_set(struct dispatch_state *state, bool is_on)
{
    struct patch_error error = {0};

    return is_done(state, is_on ? "choosing by itself" : "choosing no more",
                   dispatcher_auto_set(state->dispatcher, is_on, &error), &error);
}

/* Looks at the dispatcher. Returns NULL, having said so, if it is not empty. */
static const struct dispatcher_view *empty_view(const char *command, struct dispatcher *dispatcher)
{
    static struct dispatcher_view view; /* the shell's */

    dispatcher_look(dispatcher, &view);
    if (view.count == 0) {
        return &view;
    }
    console_print("%s: the dispatcher %s has %u entries already; it must be empty\n", command,
                  view.name, view.count);
    return NULL;
}

bool dispatch_state_is_free(const char *command, struct dispatcher *dispatcher)
{
    return empty_view(command, dispatcher) != NULL;
}

bool dispatch_state_begin(struct dispatch_state *state, const char *command,
                          struct dispatcher *dispatcher)
{
    const struct dispatcher_view *view = empty_view(command, dispatcher);

    if (view == NULL) {
        return false;
    }
    *state = (struct dispatch_state){
        .command = command,
        .dispatcher = dispatcher,
        .shape_before = view->shape,
        .was_auto = dispatcher_auto_is_on(dispatcher),
    };
    choice_worker_hold();
    if (state->was_auto && !auto_set(state, false)) {
        choice_worker_release();
        return false;
    }
    return true;
}

static bool one_add(struct dispatch_state *state)
{
    struct patch_error error = {0};

    if (!is_done(state, "adding a program",
                 xdp_call_change(state->dispatcher, NULL, dispatch_program(state->filled), &error),
                 &error)) {
        return false;
    }
    state->filled++;
    return true;
}

/* Our programs stay for ever: that a thread may still be inside one does no harm. */
static bool one_remove(struct dispatch_state *state)
{
    struct patch_error error = {0};
    enum patch_status status =
        xdp_call_change(state->dispatcher, dispatch_program(state->filled - 1), NULL, &error);

    if (status != PATCH_ERR_STILL_INSIDE && !is_done(state, "removing a program", status, &error)) {
        return false;
    }
    state->filled--;
    return true;
}

bool dispatch_state_fill(struct dispatch_state *state, uint32_t entries)
{
    bool done = true;

    while (done && state->filled < entries) {
        done = one_add(state);
    }
    while (done && state->filled > entries) {
        done = one_remove(state);
    }
    return done;
}

bool dispatch_state_form_targets(struct dispatch_state *state, enum dispatcher_shape shape,
                                 const uint64_t *hottest, uint32_t count)
{
    const struct dispatcher_form form = {
        .shape = shape,
        .hottest = hottest,
        .hottest_count = count,
        .generation = UINT64_MAX,
    };
    struct patch_error error = {0};

    return is_done(state, dispatcher_shape_name(shape),
                   dispatcher_set_form(state->dispatcher, &form, &error), &error);
}

bool dispatch_state_form(struct dispatch_state *state, enum dispatcher_shape shape,
                         const uint8_t *hottest, uint32_t count)
{
    uint64_t targets[DISPATCHER_ENTRY_MAX];

    for (uint32_t i = 0; i < count; i++) {
        targets[i] = (uint64_t)dispatch_program(hottest[i])->function;
    }
    return dispatch_state_form_targets(state, shape, targets, count);
}

/* Whether there is a decision behind number @decided, and it has been carried out. */
static bool is_chosen(const struct dispatch_state *state, uint64_t decided,
                      enum dispatcher_shape *chosen)
{
    static struct dispatcher_view view;
    struct dispatcher_decision decision;

    if (!dispatcher_auto_decision(state->dispatcher, decided + 1, &decision)) {
        return false;
    }
    dispatcher_look(state->dispatcher, &view);
    *chosen = decision.after;
    return view.shape == decision.after && !view.is_sampled;
}

/* Makes traffic until there is a decision, and does what is due for it, as the worker would. Of
 * Ctrl-C the caller speaks, who knows what else it has ended. */
static bool decision_wait(struct dispatch_state *state, struct shell_session *session,
                          bool (*drive)(void *context), void *context,
                          enum dispatcher_shape *chosen)
{
    uint64_t decided = dispatcher_auto_decided(state->dispatcher);
    uint64_t deadline = clock_now_ns() + CHOICE_PATIENCE_NS;

    while (!is_chosen(state, decided, chosen)) {
        (void)dispatcher_auto_step(state->dispatcher, clock_now_ns());
        if (!drive(context)) {
            return false;
        }
        thread_checkpoint();
        if (shell_interrupted(session)) {
            return false;
        }
        if (clock_now_ns() > deadline) {
            console_print("%s: no shape was chosen within %llu s\n", state->command,
                          CHOICE_PATIENCE_NS / 1000000000);
            return false;
        }
    }
    return true;
}

bool dispatch_state_choose(struct dispatch_state *state, struct shell_session *session,
                           bool (*drive)(void *context), void *context,
                           enum dispatcher_shape *chosen)
{
    dispatcher_auto_set_budget(CHOICE_BUDGET);

    bool done = auto_set(state, true) && decision_wait(state, session, drive, context, chosen);

    done = auto_set(state, false) && done;
    dispatcher_auto_set_budget(DISPATCHER_BUDGET_DEFAULT);
    return done;
}

bool dispatch_state_end(struct dispatch_state *state)
{
    bool done = dispatch_state_fill(state, 0) &&
                dispatch_state_form_targets(state, state->shape_before, NULL, 0);

    done = (!state->was_auto || auto_set(state, true)) && done;
    choice_worker_release();
    return done;
}
