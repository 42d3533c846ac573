// SPDX-License-Identifier: MIT
/* `prog hook`: by which of two ways the programs of queues are run, the dispatcher that all cards
 * share or the dynamic call of each card. Called by commands_prog.c. */
#pragma once

#include "kernel/shell.h"

/* Shows the ways, or chooses one; @argv[0] is "prog hook". Context: thread. */
enum command_result program_hook_run(int argc, char **argv);
void program_hook_complete(struct shell_completion *completion);
