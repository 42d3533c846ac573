// SPDX-License-Identifier: MIT
/* From what a switch asks for to what each op shall have. Invariant: what comes out can be true on
 * this machine: each op has a way, and ops of a group have theirs of one backend. Changes nothing
 * but @wanted. Callers: paravirt_switch.c. */
#pragma once

#include "kernel/paravirt_backends.h"

/* All ops to @backend in @wanted, which holds what they have now; native those that cannot. Returns
 * false, with the reason in @refusal, as paravirt_switch_all(). */
bool paravirt_wanted_all(struct paravirt_states *wanted, const struct paravirt_backend *backend,
                         struct paravirt_refusal *refusal);

/* One op, or the group that @name names, likewise; as paravirt_switch_op(). */
bool paravirt_wanted_op(struct paravirt_states *wanted, const char *name,
                        const struct paravirt_backend *backend, struct paravirt_refusal *refusal);
