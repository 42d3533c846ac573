// SPDX-License-Identifier: MIT
/* What has to be true before a batch of paravirt ops, and what is made true again behind it: the
 * three hazards of kernel/paravirt_switch.h. Callers: paravirt_switch.c. */
#pragma once

#include "kernel/paravirt_backends.h"

/* Makes a change from @now to @wanted harmless. Returns false, and says why in @refusal, if a
 * backend cannot be entered. paravirt_hazards_end() is called either way.
 * Context: change lock held, patch lock not. */
bool paravirt_hazards_begin(const struct paravirt_states *now, const struct paravirt_states *wanted,
                            struct paravirt_refusal *refusal);

/* @now: what the ops have, changed or not. Lets go what it does not need. If somebody stays inside
 * an old way for longer than a grace period waits, that is said, and left for the next call.
 * Context: as above. */
void paravirt_hazards_end(const struct paravirt_states *now);

/* Whether something was left long enough ago to try again. Context: any. */
bool paravirt_hazards_retry_is_due(void);

/* What is left now. Context: change lock held. */
struct paravirt_leftovers paravirt_hazards_left(const struct paravirt_states *now);
