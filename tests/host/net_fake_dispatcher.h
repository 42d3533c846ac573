// SPDX-License-Identifier: MIT
/* The patching/ that net/program*.c find when they are built as a Linux program: a dispatcher that
 * keeps entries and references and patches nothing, grace periods, memory for generated code.
 * Invariant: what happens is written down in order, in net_fake_steps, so that a test can tell
 * whether queues are told before or after. Used by: net_program*.c, tests/fuzz/fuzz_packet.c. */
#pragma once

#include <stdint.h>

#include "patching/status.h"

/* '+' an entry or reference comes, '-' goes, 'g' a grace period, 'f' the dynamic calls forget a
 * target and a grace period ends, 'w' code is written, 'e' erased; the last 63. */
extern char net_fake_steps[64];

/* Called before each of them is done, with its letter; NULL: nothing. */
extern void (*net_fake_on_step)(char step);

/* So many updates, grace periods or writes succeed before one fails; below 0: none fails. */
extern int net_fake_steps_until_failure;

/* The target of the last 'f'. */
extern uint64_t net_fake_forgotten;

/* Entries that the dispatcher has room for; 64 at first. */
extern uint32_t net_fake_entries_most;
