// SPDX-License-Identifier: MIT
/* What is seen of a dynamic call in an epoch: who it calls, or what a call costs. Invariant: an
 * epoch is of one form of one call. Context of all: change lock held. Callers: dynamic_auto.c. */
#pragma once

#include "patching/dynamic_call.h"

/* The text is what was wished, and all counts are 0: an epoch begins. */
void dynamic_epoch_begin(struct dynamic_call *call, uint64_t now_ns);

/* What was seen is not used; the next step begins anew, at once. */
void dynamic_epoch_cancel(struct dynamic_call *call);

/* Does what is due within the epoch: of calls in plenty a slice is counted. */
void dynamic_epoch_look(struct dynamic_call *call, uint64_t now_ns);

/* When to look next; whether the epoch is over. */
uint64_t dynamic_epoch_due(const struct dynamic_choice *choice);
bool dynamic_epoch_is_over(const struct dynamic_call *call, uint64_t now_ns);

/* Ends it, and says what was seen. */
void dynamic_epoch_end(struct dynamic_call *call, uint64_t now_ns, struct dynamic_epoch *epoch);

/* Another call has the trial, from its first epoch to its last; @call needs it no more. */
bool dynamic_trial_is_taken(const struct dynamic_call *call);
void dynamic_trial_leave(const struct dynamic_call *call);

/* Changes whenever text of @call may have been changed. */
static inline uint64_t dynamic_changes_seen(const struct dynamic_call *call)
{
    return call->statistics.batches + call->statistics.failed;
}
