// SPDX-License-Identifier: MIT
/* What the worker of choice_worker.h does for dynamic calls: memory to count in, steps, a line in
 * the log for each decision. Called by: choice_worker.c. */
#pragma once

#include <stdint.h>

/* Takes dyncall= and dyncall_form= from the command line, gives the calls their memory and switches
 * learning on for those that are not by hand. Context: thread, once. */
void dynamic_pass_start(void);

/* Steps all dynamic calls. Returns when something is to be done, @next_ns at the latest. Context:
 * thread, one caller at a time. */
uint64_t dynamic_pass_make(uint64_t next_ns);
