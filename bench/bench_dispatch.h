// SPDX-License-Identifier: MIT
/* `bench dispatch`: what a call of one of many programs costs, by the shape of the dispatcher.
 * Invariant: the dispatcher `bench` is empty before and afterwards, and has the shape it had.
 * Callers: bench_dispatch.c. */
#pragma once

#include "kernel/shell.h"
#include "kernel/table.h"

#include <stdbool.h>
#include <stdint.h>

/* bench_dispatch_update.c: brings a program into the dispatcher of @entries and takes it out again,
 * @updates times, other CPUs idle, then busy with calls; prints rows of what that took. Returns
 * false, having said why. Context: thread. */
struct dispatch_state;
bool dispatch_updates_run(struct shell_session *session, struct dispatch_state *state,
                          uint32_t entries, uint64_t updates, struct table *table);
