// SPDX-License-Identifier: MIT
/* What the user had changed, undone for the tests and put back behind them: keys, calls,
 * paravirt ops, the mitigation, the default protocol. Programs, attached or entered, are the user's
 * to take out: with any, the tests do not begin. Invariant: in between, text is as
 * text_snapshot_take() found it. Called by runner.c. */
#pragma once

#include <stdbool.h>

/* Returns false, having said why, if something cannot be brought to its state at boot. Context:
 * thread. */
bool boot_state_enter(void);
void boot_state_leave(void);
