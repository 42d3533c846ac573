// SPDX-License-Identifier: MIT
/* A second way of every paravirt op: C functions that count, spoil every register that C may spoil,
 * and do what the native way does. Invariant: derived from arch/paravirt_table.h; ops that keep
 * registers go through the thunks that every backend uses, so a thunk that forgets one is seen by
 * the probes (paravirt_probes.h). Callers: the paravirt suites. */
#pragma once

#include "kernel/paravirt_switch.h"

#include <stdint.h>

extern const struct paravirt_way paravirt_double_ways[PARAVIRT_OP_COUNT];

/* The same as a backend, which `pv` lists only while a suite has added it. */
extern const struct paravirt_backend paravirt_double_backend;

/* Looks up what is below: the native ways. Context: thread, no op goes a second way. */
void paravirt_double_initialize(void);

/* How often the op went this way, on all CPUs. */
uint64_t paravirt_double_count(enum paravirt_op_id op);
