// SPDX-License-Identifier: MIT
/* Runs a function one instruction at a time on this CPU, by the trap flag. Invariant: the flag is
 * set from the call of the function to its return, and nowhere else: traps clear it on entry, so
 * no handler is stepped. Called by: benches that count what a call executes. */
#pragma once

#include "arch/trap_frame.h"

#include <stdbool.h>
#include <stdint.h>

/* The instruction at @address was executed; the one at @next comes next. Context: #DB. */
typedef void single_step_callback(uint64_t address, uint64_t next, void *context);

/* Calls @function(@argument) and @step behind each of its instructions: the call of it to begin
 * with, its ret to end with.
 * Context: thread, interrupts off, so that nothing else runs stepped; one CPU at a time. No batch
 * may be in flight (patch lock held): the step over an int3 that is emulated would be lost.
 * @function and @step do not sleep; @function leaves the flags register to single instructions: a
 * popf could end the steps. */
void single_step_run(void (*function)(uint64_t), uint64_t argument, single_step_callback *step,
                     void *context);

/* #DB. Returns false if nobody steps here: unexpected. */
bool single_step_handle(struct trap_frame *frame);
