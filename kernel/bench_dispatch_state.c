// SPDX-License-Identifier: MIT
/* The dispatcher of `bench dispatch`: filled, shaped, and left as it was found. Invariant: a
 * failure is a message that names it; nobody else uses the dispatcher `bench`, or the bench does
 * not begin. Called by: bench_dispatch.c. */
#include "kernel/bench_dispatch.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"

static uint32_t filled; /* entries that are ours */
static enum dispatcher_shape shape_before;

static bool is_done(const char *command, const char *what, enum patch_status status,
                    const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("%s: %s: %s\n", command, what, patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

bool dispatch_bench_begin(const char *command)
{
    static struct dispatcher_view view;

    xdp_call_stats(bench, &view);
    if (view.count != 0) {
        console_print("%s: the dispatcher bench has %u entries already; it must be empty\n",
                      command, view.count);
        return false;
    }
    filled = 0;
    shape_before = view.shape;
    return true;
}

static bool one_add(const char *command)
{
    struct patch_error error = {0};

    if (!is_done(command, "adding a program",
                 xdp_call_update(bench, NULL, dispatch_program(filled), &error), &error)) {
        return false;
    }
    filled++;
    return true;
}

/* Our programs stay for ever: that a thread may still be inside one does no harm. */
static bool one_remove(const char *command)
{
    struct patch_error error = {0};
    enum patch_status status = xdp_call_update(bench, dispatch_program(filled - 1), NULL, &error);

    if (status != PATCH_ERR_STILL_INSIDE &&
        !is_done(command, "removing a program", status, &error)) {
        return false;
    }
    filled--;
    return true;
}

bool dispatch_bench_fill(const char *command, uint32_t entries)
{
    bool done = true;

    while (done && filled < entries) {
        done = one_add(command);
    }
    while (done && filled > entries) {
        done = one_remove(command);
    }
    return done;
}

bool dispatch_bench_form(const char *command, enum dispatcher_shape shape, uint32_t entries,
                         const uint8_t hottest[DISPATCHER_ENTRY_MAX])
{
    uint64_t targets[DISPATCHER_ENTRY_MAX];
    const struct dispatcher_form form = {
        .shape = shape,
        .hottest = targets,
        .hottest_count = entries,
        .generation = UINT64_MAX,
    };
    struct patch_error error = {0};

    for (uint32_t i = 0; i < entries; i++) {
        targets[i] = (uint64_t)dispatch_program(hottest[i])->function;
    }
    return is_done(command, dispatcher_shape_name(shape),
                   dispatcher_set_form(&dispatcher_bench, &form, &error), &error);
}

bool dispatch_bench_end(const char *command)
{
    return dispatch_bench_fill(command, 0) && dispatch_bench_form(command, shape_before, 0, NULL);
}
