// SPDX-License-Identifier: MIT
/* The dynamic calls of a bench: given a form, or let learn, and left as they were found. Invariant:
 * the worker that lets calls learn is held meanwhile: what learns is stepped here alone. Each
 * function returns false, having said why; of Ctrl-C it says nothing. Context: thread. Callers:
 * bench_dyncall.c, bench_dyncall_learning.c. */
#pragma once

#include "bench/bench_dyncall_loops.h"
#include "kernel/shell.h"
#include "patching/dynamic_auto.h"

#include <stdbool.h>
#include <stdint.h>

struct dyncall_state {
    const char *command; /* begins what is said */
    struct shell_session *session;
    struct dynamic_call_form before[DYNCALL_SIZES];
};

/* Refuses if one of the calls learns already, or somebody has pinned it. */
bool dyncall_state_begin(struct dyncall_state *state, const char *command,
                         struct shell_session *session);

/* Brings back what was there. */
bool dyncall_state_end(struct dyncall_state *state);

/* Gives a call a form. */
bool dyncall_state_form(const struct dyncall_state *state, const struct dyncall_size *size,
                        const struct dynamic_call_form *form);

/* Learning begins anew, or ends. */
bool dyncall_state_learn(const struct dyncall_state *state, const struct dyncall_size *size,
                         bool is_on);

/* Makes calls, some hundred thousand a second, and does what is due, until is_done(@context) or
 * @limit_ns have passed, which is no failure. */
bool dyncall_state_drive(const struct dyncall_state *state, const struct dyncall_size *size,
                         bool (*is_done)(void *context), void *context, uint64_t limit_ns);

/* Whether what it learnt is in place, or it rests: for is_done(), with the call. */
bool dyncall_state_is_settled(void *call);
