// SPDX-License-Identifier: MIT
/* Lets dispatchers choose their shape by measuring (policy: dispatcher_choice.h; mechanism:
 * trial.h). Invariant: while nothing is tried, the entry goes straight to the image and nothing is
 * counted; a trial that cannot go on (no traffic, an update, a batch that fails) brings back the
 * shape that was there before. What waits for traffic is a sampler: nobody pays for it until there
 * is some, and no text is changed meanwhile.
 *
 * The order of entries by hotness is part of a trial: the first epoch ranks them for the trial, all
 * epochs together for the image that is chosen. Between trials it is not changed: an order that
 * matters no more is other traffic, which the watch sees.
 * Callers: the kernel's worker (kernel/choice_worker.c), benches, tests. */
#pragma once

#include "patching/dispatcher.h"

/* Patches that automatic choice may make in a second, all dispatchers together, on average. */
enum { DISPATCHER_BUDGET_DEFAULT = 50 };
void dispatcher_auto_set_budget(unsigned patches_per_second);

/* Switches automatic choice of @dispatcher on (it begins with a trial as soon as there is traffic)
 * or off: a trial ends, with the shape that was there before; a decision that no step has carried
 * out yet is carried out. Context and returns as dispatcher_set_form().
 */
PATCH_MUST_CHECK enum patch_status dispatcher_auto_set(struct dispatcher *dispatcher, bool is_on,
                                                       struct patch_error *error);
bool dispatcher_auto_is_on(struct dispatcher *dispatcher);

/* Does what is due, without waiting for traffic. Returns when to call again, in the time of
 * @now_ns. Context: thread, platform_may_patch(); one caller a dispatcher. */
uint64_t dispatcher_auto_step(struct dispatcher *dispatcher, uint64_t now_ns);

/* Copies decision number @sequence, the first being 1. Returns false if it was not made yet or is
 * forgotten. Context: thread. */
bool dispatcher_auto_decision(struct dispatcher *dispatcher, uint64_t sequence,
                              struct dispatcher_decision *decision);
uint64_t dispatcher_auto_decided(struct dispatcher *dispatcher);

struct dispatcher_auto_view {
    enum dispatcher_choice_state state;
    uint64_t decided;
    uint64_t given_up;              /* trials without a decision */
    uint64_t refused;               /* patches that failed, ... */
    enum patch_status refused_with; /* ... the last of them so */
};
void dispatcher_auto_look(struct dispatcher *dispatcher, struct dispatcher_auto_view *view);
