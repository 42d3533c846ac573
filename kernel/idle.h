// SPDX-License-Identifier: MIT
/* What a CPU does that has no thread to run: a static call, chosen by idle= on the command line or
 * `call cpu_idle TARGET` while the kernel runs. Called by the idle loop of each CPU. */
#pragma once

#include "patching/static_call.h"

/* Halts until the next interrupt. Context: interrupts off, nothing runnable; returns with them on.
 */
void idle_halt(void);
DECLARE_STATIC_CALL(cpu_idle, idle_halt);

/* Takes idle=halt|poll from the command line. Context: boot. */
void idle_initialize(void);
