// SPDX-License-Identifier: MIT
/* Plays another CPU between any two instructions of this thread: the trap flag raises SIGTRAP
 * behind every instruction, and the signal handler calls back. So two actors meet at every point
 * there is, not where chance takes them. Used by: test_record.c, test_breakpoint.c. */
#pragma once

/* From the next instruction on calls @callback behind each one; it is not stepped itself. */
void single_step_begin(void (*callback)(void));

void single_step_end(void);

/* Instructions since single_step_begin(), the present one included. */
unsigned single_step_count(void);
