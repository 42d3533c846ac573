// SPDX-License-Identifier: MIT
/* Printing what was traced, all CPUs merged by time. Invariant: nothing is recorded between the
 * first event copied and the last line printed, so that a dump does not show itself. Called by the
 * `trace` command. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct shell_session;

/* Prints the newest @limit calls, oldest first, then what each CPU recorded and lost. Returns false
 * if there was no memory for it or a CPU may still record, having said so, or Ctrl-C came. */
bool trace_dump_events(struct shell_session *session, uint64_t limit, bool json);

/* The same for IPIs with the stacks of their senders; they are recorded meanwhile. */
bool trace_dump_ipis(struct shell_session *session, uint64_t limit, bool json);

/* The line for a CPU that trace_rings_stop() calls silent; @command begins it. */
void trace_dump_explain_silence(const char *command, unsigned silent);
