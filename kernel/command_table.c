// SPDX-License-Identifier: MIT
/* All shell commands, in the order in which `help` lists them. Invariant: each stands here once,
 * under a name of its own; commands_*.c define them. Read by kernel/shell.c and completion.c. */
#include <stddef.h>

#include "kernel/shell.h"

extern const struct shell_command command_help, command_ver, command_cpus, command_mem,
    command_threads, command_log, command_cmdline, command_ipi, command_keys, command_key,
    command_sites, command_plan, command_pokes, command_protocol, command_calls, command_call,
    command_mitigation, command_pv, command_dispatch, command_dyncall, command_trace, command_net,
    command_nic, command_ping, command_pkt, command_prog, command_spin, command_test, command_bench,
    command_exit, command_panic, command_reboot;

/* clang-format off */
const struct shell_command *const shell_commands[] = {
    &command_help,
    &command_ver,
    &command_cpus,
    &command_mem,
    &command_threads,
    &command_log,
    &command_cmdline,
    &command_ipi,
    &command_keys,
    &command_key,
    &command_sites,
    &command_plan,
    &command_pokes,
    &command_protocol,
    &command_calls,
    &command_call,
    &command_mitigation,
    &command_pv,
    &command_dispatch,
    &command_dyncall,
    &command_trace,
    &command_net,
    &command_nic,
    &command_ping,
    &command_pkt,
    &command_prog,
    &command_test,
    &command_bench,
    &command_spin,
    &command_exit,
    &command_panic,
    &command_reboot,
    NULL,
};
/* clang-format on */
