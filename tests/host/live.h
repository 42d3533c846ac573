// SPDX-License-Identifier: MIT
/* The live platform: threads as CPUs on the real CPU, SIGTRAP as #BP, membarrier as the sync. The
 * text patched is the program's own. Used by: test_static_key_races.c. */
#pragma once

enum { LIVE_CPU_MAX = 16 };

/* Makes text writable, installs the trap handler, registers for membarrier.
 * Returns NULL, or why this machine cannot do it. */
const char *live_initialize(void);

/* Gives the calling thread its number, below LIVE_CPU_MAX; before it runs patched code. */
void live_enter_cpu(unsigned cpu);
