// SPDX-License-Identifier: MIT
/* What the policy of a dynamic call has decided, and what it cost: the log. Invariant: each batch
 * belongs to one decision: the last one made, but while a trial runs, or behind an act of a
 * person's, to the next. Callers: dynamic_choice.c; readers: dynamic_auto_decision(). */
#pragma once

#include "patching/dynamic_choice.h"

/* From now on what is carried out belongs to the next decision. */
void dynamic_decision_begin(struct dynamic_choice *choice);

/* Notes that @choice, for whose wish and saving all is set, leaves its state for @after. @old: what
 * the slots named before. */
void dynamic_decision_note(struct dynamic_choice *choice, enum dynamic_state after,
                           enum dynamic_reason reason, const struct dynamic_targets *old,
                           uint64_t now_ns);

/* So many batches were made. */
void dynamic_decision_spend(struct dynamic_choice *choice, uint32_t batches, uint64_t cost_ns);

/* Calls that save @saving_ns (DYNAMIC_MANY_CALLS of them) until @cost_ns are back; UINT64_MAX: it
 * never is. */
uint64_t dynamic_decision_break_even(uint64_t cost_ns, uint64_t saving_ns);
