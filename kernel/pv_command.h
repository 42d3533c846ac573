// SPDX-License-Identifier: MIT
/* The verbs of `pv` that have a file of their own. Called by: commands_pv.c, with argv[0] naming
 * command and verb ("pv stats"), so that what options_parse() refuses says which. */
#pragma once

#include "kernel/shell.h"

/* commands_pv_list.c: what the ops are now, and what the backends offer.
 *
 *     pv [-j]             one row an op, and their sum
 *     pv backends [-j]    one row a backend; one for each of its ops */
enum command_result pv_list_run(int argc, char **argv);
enum command_result pv_backends_run(int argc, char **argv);

/* commands_pv_stats.c: what the layer `counted` has counted.
 *
 *     pv stats [NAME] [-j] [--clear]  calls and times of ops; of one op or group, by CPU
 *     pv locks [-n N] [-j] [--clear]  spinlocks by name; CPUs that halted for one */
enum command_result pv_stats_run(int argc, char **argv);
enum command_result pv_locks_run(int argc, char **argv);
