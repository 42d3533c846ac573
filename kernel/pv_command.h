// SPDX-License-Identifier: MIT
/* The verbs of `pv` that have a file of their own. Called by: commands_pv.c, with argv[0] naming
 * command and verb ("pv stats"), so that what options_parse() refuses says which. */
#pragma once

#include "kernel/shell.h"

/* commands_pv_stats.c: what the layer `counted` has counted.
 *
 *     pv stats [OP] [-j] [--clear]    calls and times of ops; of one op, by CPU
 *     pv locks [-n N] [-j] [--clear]  spinlocks by name; CPUs that halted for one */
enum command_result pv_stats_run(int argc, char **argv);
enum command_result pv_locks_run(int argc, char **argv);
