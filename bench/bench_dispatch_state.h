// SPDX-License-Identifier: MIT
/* A dispatcher that a bench fills with the programs of bench_dispatch_loops.h. Invariant: at the
 * end it is empty, and has the shape it had;
 * the worker that lets dispatchers choose is held meanwhile. Each function returns false, having
 * said why; context: thread. Callers: bench_dispatch.c, bench_net_entries.c. */
#pragma once

#include "bench/bench_dispatch_loops.h"
#include "kernel/shell.h"

#include <stdbool.h>
#include <stdint.h>

struct dispatch_state {
    const char *command; /* begins what is said */
    struct dispatcher *dispatcher;
    uint32_t filled; /* entries that are ours: programs 0 to filled - 1 */
    enum dispatcher_shape shape_before;
    bool was_auto;
};

/* Refuses if somebody else has entries in @dispatcher. */
bool dispatch_state_begin(struct dispatch_state *state, const char *command,
                          struct dispatcher *dispatcher);

/* Whether nobody has; it has said so. */
bool dispatch_state_is_free(const char *command, struct dispatcher *dispatcher);

/* Takes our entries out and brings back the shape, or automatic choice. */
bool dispatch_state_end(struct dispatch_state *state);

/* Makes programs 0 to @entries - 1 its entries, besides those that others may have brought. */
bool dispatch_state_fill(struct dispatch_state *state, uint32_t entries);

/* Gives it a shape, with the @count programs of those numbers in @hottest first. */
bool dispatch_state_form(struct dispatch_state *state, enum dispatcher_shape shape,
                         const uint8_t *hottest, uint32_t count);

/* The same with targets; hottest NULL, count 0: in the order that there is. */
bool dispatch_state_form_targets(struct dispatch_state *state, enum dispatcher_shape shape,
                                 const uint64_t *hottest, uint32_t count);

/* Lets it choose while drive(@context) makes calls, a few thousand at most at a time, until it
 * returns false. Then the dispatcher stays with that shape, @chosen. Of Ctrl-C it says nothing. */
bool dispatch_state_choose(struct dispatch_state *state, struct shell_session *session,
                           bool (*drive)(void *context), void *context,
                           enum dispatcher_shape *chosen);
