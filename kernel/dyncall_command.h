// SPDX-License-Identifier: MIT
/* What the verbs of `dyncall` share. Called by: commands_dyncall.c. */
#pragma once

#include "kernel/table.h"
#include "patching/dynamic_auto.h"

#include <stdbool.h>

/* dyncall_log.c: the decisions that are remembered. Context: thread. */
void dyncall_log_print(struct dynamic_call *call, bool json);

/* A list of targets by name; for people with commas, and "-" if there are none. */
void dyncall_targets_cell(struct table *table, const char *name, unsigned width,
                          const struct dynamic_targets *targets);

/* dyncall_target.c: the functions that words @count of @words name, into the slots of @call.
 * Returns false after saying which word is none, stands there twice, or has no slot left. */
bool dyncall_targets_read(const struct dynamic_call *call, char **words, unsigned count,
                          struct dynamic_targets *targets);
