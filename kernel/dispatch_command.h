// SPDX-License-Identifier: MIT
/* What the verbs of `dispatch` share, and lend to `dyncall`. Called by: commands_dispatch.c,
 * bench_seed_dispatch.c, dyncall_log.c, dynamic_pass.c. */
#pragma once

#include "kernel/symbols.h"
#include "kernel/table.h"
#include "patching/dispatcher.h"

#include <stdbool.h>
#include <stdint.h>

/* The name of the program or function at @address; "name+0x12" inside one. Context: thread. */
const char *dispatch_target_text(uint64_t address, char text[SYMBOL_TEXT_MAX]);

/* dispatch_code.c: the code in use, an instruction a row. Returns false, having said why, if it
 * changed all the time. Context: thread. */
bool dispatch_code_print(struct dispatcher *dispatcher, bool json);

/* dispatch_log.c: a column for a cost in 1/TRIAL_COST_UNIT ticks, in ns; none if it is 0: it was
 * not measured. */
void dispatch_cost_cell(struct table *table, const char *name, uint64_t cost);

/* dispatch_log.c: the decisions of automatic choice that are remembered. Context: thread. */
void dispatch_log_print(struct dispatcher *dispatcher, bool json);
