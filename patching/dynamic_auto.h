// SPDX-License-Identifier: MIT
/* Lets dynamic calls learn: counts, times, decides, patches (policy: dynamic_choice.h; mechanism:
 * dynamic_call.h, trial.h). Invariant: a step, and all of switching, pinning and forgetting, is
 * under the change lock: the policy never sees a call that somebody changes meanwhile, and what is
 * pinned stays pinned. Without memory for counts a call stays as it is. Callers: the kernel's
 * worker, the shell, benches, tests. */
#pragma once

#include "patching/dynamic_call.h"

/* Batches that learning may make in a second, all dynamic calls together, on average. */
enum { DYNAMIC_BUDGET_DEFAULT = 50 };
void dynamic_auto_set_budget(unsigned batches_per_second);

/* Does what is due. Returns when to call again, in the time of @now_ns; UINT64_MAX: not by itself.
 * Context: thread, platform_may_patch(); one caller a call. */
uint64_t dynamic_auto_step(struct dynamic_call *call, uint64_t now_ns);

/* Learning on, or off: then the gate closes. What was pinned is so no more. Context and returns as
 * dynamic_call_set_form(). */
PATCH_MUST_CHECK enum patch_status dynamic_auto_set(struct dynamic_call *call, bool is_on,
                                                    uint64_t now_ns, struct patch_error *error);

/* The slots name @targets from now on, and the gate is open. All empty: PATCH_ERR_NO_TARGET. */
PATCH_MUST_CHECK enum patch_status dynamic_auto_pin(struct dynamic_call *call,
                                                    const struct dynamic_targets *targets,
                                                    uint64_t now_ns, struct patch_error *error);

/* The kind of comparison; state and targets stay. PATCH_ERR_INSTRUCTION if unknown. */
PATCH_MUST_CHECK enum patch_status dynamic_auto_set_compare(struct dynamic_call *call,
                                                            enum dynamic_compare compare,
                                                            struct patch_error *error);

/* Copies decision number @sequence, the first being 1. Returns false if it was not made yet or is
 * forgotten. Context: thread. */
bool dynamic_auto_decision(struct dynamic_call *call, uint64_t sequence,
                           struct dynamic_decision *decision);

struct dynamic_auto_view {
    enum dynamic_state state;
    enum dynamic_reason reason;
    uint64_t hits, misses; /* counted, see struct dynamic_choice */
    uint64_t epochs, changes, decided, refused;
    enum patch_status refused_with;
    uint64_t next_alarm_ns; /* until then alarms are not heard; 0: they are */
    uint64_t rest_until_ns; /* 0: not resting, or until calls come */
};
void dynamic_auto_look(struct dynamic_call *call, struct dynamic_auto_view *view);

/* What a call through a slot saves against the slow way on this CPU with the thunks that there are,
 * timed on the spot by calls to one target (some 20 us). In 1/TRIAL_COST_UNIT ticks; at least 1.
 * Context: thread. */
uint64_t dynamic_saving_estimate(void);
