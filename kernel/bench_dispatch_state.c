// SPDX-License-Identifier: MIT
/* A dispatcher for a bench: filled, shaped, and left as it was found. Invariant: a failure is a
 * message that names it; nobody else uses the dispatcher, or the bench does not begin. Called by:
 * bench_dispatch.c, bench_net_entries.c. */
#include "kernel/bench_dispatch_state.h"

#include "kernel/console.h"
#include "kernel/patch_error_text.h"

static bool is_done(const struct dispatch_state *state, const char *what, enum patch_status status,
                    const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("%s: %s: %s\n", state->command, what, patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

bool dispatch_state_begin(struct dispatch_state *state, const char *command,
                          struct dispatcher *dispatcher)
{
    static struct dispatcher_view view; /* the shell's */

    dispatcher_look(dispatcher, &view);
    if (view.count != 0) {
        console_print("%s: the dispatcher %s has %u entries already; it must be empty\n", command,
                      view.name, view.count);
        return false;
    }
    *state = (struct dispatch_state){
        .command = command, .dispatcher = dispatcher, .shape_before = view.shape};
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

bool dispatch_state_form(struct dispatch_state *state, enum dispatcher_shape shape,
                         const uint8_t *hottest, uint32_t count)
{
    uint64_t targets[DISPATCHER_ENTRY_MAX];
    const struct dispatcher_form form = {
        .shape = shape,
        .hottest = count != 0 ? targets : NULL,
        .hottest_count = count,
        .generation = UINT64_MAX,
    };
    struct patch_error error = {0};

    for (uint32_t i = 0; i < count; i++) {
        targets[i] = (uint64_t)dispatch_program(hottest[i])->function;
    }
    return is_done(state, dispatcher_shape_name(shape),
                   dispatcher_set_form(state->dispatcher, &form, &error), &error);
}

bool dispatch_state_end(struct dispatch_state *state)
{
    return dispatch_state_fill(state, 0) &&
           dispatch_state_form(state, state->shape_before, NULL, 0);
}
