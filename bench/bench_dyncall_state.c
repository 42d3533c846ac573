// SPDX-License-Identifier: MIT
/* See bench_dyncall_state.h. */
#include "bench/bench_dyncall_state.h"

#include "arch/clock.h"
#include "kernel/choice_worker.h"
#include "kernel/console.h"
#include "kernel/patch_error_text.h"
#include "kernel/thread.h"

#define BURST_CALLS 2048u
#define BURST_PAUSE_NS                                                                             \
    4000000ull         /* between two bursts; others run, and time flies under icount              \
                        */
#define BUDGET 100000u /* batches a second: the bench waits for them */

static bool is_done_well(const struct dyncall_state *state, const struct dyncall_size *size,
                         enum patch_status status, const struct patch_error *error)
{
    char text[PATCH_ERROR_TEXT_MAX];

    if (status != PATCH_OK) {
        console_print("%s: %s: %s\n", state->command, size->call->name,
                      patch_error_text(error, text));
    }
    return status == PATCH_OK;
}

static bool is_free(const char *command, struct dynamic_call *call)
{
    struct dynamic_auto_view view;

    dynamic_auto_look(call, &view);
    if (view.state != DYNAMIC_OFF) {
        console_print("%s: the dynamic call %s is %s; first: dyncall %s off\n", command, call->name,
                      dynamic_state_name(view.state), call->name);
    }
    return view.state == DYNAMIC_OFF;
}

bool dyncall_state_begin(struct dyncall_state *state, const char *command,
                         struct shell_session *session)
{
    *state = (struct dyncall_state){.command = command, .session = session};
    for (unsigned i = 0; i < DYNCALL_SIZES; i++) {
        struct dynamic_call_view view;

        if (!is_free(command, dyncall_sizes[i].call)) {
            return false;
        }
        dynamic_call_look(dyncall_sizes[i].call, &view);
        state->before[i] = view.form;
    }
    choice_worker_hold();
    dynamic_auto_set_budget(BUDGET);
    return true;
}

bool dyncall_state_end(struct dyncall_state *state)
{
    bool done = true;

    for (unsigned i = 0; i < DYNCALL_SIZES; i++) {
        done = dyncall_state_learn(state, &dyncall_sizes[i], false) && done;
        done = dyncall_state_form(state, &dyncall_sizes[i], &state->before[i]) && done;
    }
    dynamic_auto_set_budget(DYNAMIC_BUDGET_DEFAULT);
    choice_worker_release();
    return done;
}

bool dyncall_state_form(const struct dyncall_state *state, const struct dyncall_size *size,
                        const struct dynamic_call_form *form)
{
    struct patch_error error = {0};

    return is_done_well(state, size, dynamic_call_set_form(size->call, form, &error), &error);
}

bool dyncall_state_learn(const struct dyncall_state *state, const struct dyncall_size *size,
                         bool is_on)
{
    struct patch_error error = {0};

    return is_done_well(state, size, dynamic_auto_set(size->call, is_on, clock_now_ns(), &error),
                        &error);
}

bool dyncall_state_drive(const struct dyncall_state *state, const struct dyncall_size *size,
                         bool (*is_done)(void *context), void *context, uint64_t limit_ns)
{
    uint64_t end_ns = clock_now_ns() + limit_ns;

    do {
        (void)dynamic_auto_step(size->call, clock_now_ns());
        size->loop(BURST_CALLS);
        thread_sleep_ns(BURST_PAUSE_NS);
        if (shell_interrupted(state->session)) {
            return false;
        }
    } while (!is_done(context) && clock_now_ns() < end_ns);
    return true;
}

bool dyncall_state_is_settled(void *call)
{
    struct dynamic_auto_view view;

    dynamic_auto_look(call, &view);
    return view.state == DYNAMIC_STABLE || view.state == DYNAMIC_RESTING;
}
