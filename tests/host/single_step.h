// SPDX-License-Identifier: MIT
/* Plays another CPU between any two instructions of this thread: the trap flag raises SIGTRAP
 * behind every instruction, and the signal handler calls back. So two actors meet at every point
 * there is, not where chance takes them. Used by: test_record.c, test_breakpoint.c,
 * test_static_call_steps.c. */
#pragma once

#include <ucontext.h>

/* From the next instruction on calls @callback behind each one; it is not stepped itself. */
void single_step_begin(void (*callback)(void));

void single_step_end(void);

/* For callbacks: this was the last step. */
void single_step_stop(void);

/* What an int3 on the way does, which is no step: @callback finds the thread behind it in @context,
 * and may change where it goes on. Before single_step_begin(), for good. */
void single_step_set_breakpoint(void (*callback)(ucontext_t *context));

/* Instructions since single_step_begin(), the present one included. */
unsigned single_step_count(void);
