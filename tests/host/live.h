// SPDX-License-Identifier: MIT
/* The live platform: threads as CPUs on the real CPU, SIGTRAP as #BP, membarrier as the sync, text
 * in memory that is mapped twice. Used by: test_static_key_races.c, test_live*.c, tests/silicon. */
#pragma once

#include "patching/step.h"

#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

enum { LIVE_CPU_MAX = 16 };

/* Makes the program's own text patchable, installs the handlers, registers for membarrier,
 * calibrates the clock. Context: once, before other threads start.
 * Returns NULL, or why this machine cannot do it and what would help; then nothing was changed. */
const char *live_initialize(void);

/* Makes the calling thread CPU @cpu, below LIVE_CPU_MAX and nobody else's, before it runs patched
 * code; and no CPU any more, before it ends. */
void live_enter_cpu(unsigned cpu);
void live_leave_cpu(void);

/* The calling thread, a CPU, is outside of what platform_synchronize() protects: it and the signal
 * handlers that run on it. Others wait for that until it comes or the thread leaves its CPU; the
 * caller of platform_synchronize() counts as outside. Costs a load and a store. Ordering: release;
 * partner: the acquire in platform_synchronize(). */
void live_checkpoint(void);

/* How long platform_synchronize() waits for a thread; 60 s unless set. */
void live_set_grace_limit(uint64_t ns);

/* What platform_step_reached() calls; NULL: nothing. Context: no batch in flight. */
void live_set_hold(void (*hold)(enum patch_step step, enum patch_moment moment));

/* What resolves an int3 that patching/ does not know; it returns false if it is a stranger to it as
 * well, and the program then ends. Context: no batch in flight. */
void live_set_stranger(bool (*stranger)(ucontext_t *context));

/* What platform_request_work() calls, and returns; NULL: it returns false. Context: nobody makes a
 * lazy call. */
void live_set_worker(bool (*request)(void));

/* For demonstrations of what then happens: false makes platform_sync_cores() do nothing. Context:
 * no batch in flight. */
void live_set_sync(bool enabled);
