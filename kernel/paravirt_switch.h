// SPDX-License-Identifier: MIT
/* Which backend each paravirt op has, and how that changes while the machine runs: one batch for
 * any number of ops, with what has to be true before and behind it. Callers: boot, `pv`, tests.
 *
 * Rules for backends:
 * - A backend has a way for each op, or none of its own (NULL): then the native one stands in.
 * - Ops of one group (locks: slow path, unlock, kick) change together or not at all.
 * - `counted` is a layer: it forwards to what was below it, and can stand over any backend.
 *
 * What may go wrong while some CPUs run old and some new ways, and what is done about it:
 *
 *   locks   A CPU that halts for a lock is woken by the unlock of another one. Invariant: a CPU
 *           halts only while every CPU's unlock is one that kicks. So halting is forbidden and
 *           every halted CPU has woken before the batch (kernel/lock_halt.h); it is allowed again
 *           behind it, and behind a grace period, for an old unlock may be half done, if the new
 *           unlock kicks. Meanwhile all waiters spin, and any mixture of unlocks serves them.
 *   EOI     An interrupt that came under one way may be ended under the other: both are always
 *           right (arch/kvm.c says why). The CPUs' MSRs are set before the batch and
 *           cleared behind it.
 *   clocks  Two sources differ by what they were calibrated wrong. While the source changes, and
 *           until the new one has caught up, no read is below any other (arch/clock_floor.h). */
#pragma once

#include "arch/paravirt.h"
#include "patching/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct paravirt_backend {
    const char *name;
    const char *summary;
    const struct paravirt_way *ways[PARAVIRT_OP_COUNT]; /* NULL: none of its own */
    bool kicks;    /* its lock_unlock wakes those that halted */
    bool is_layer; /* forwards to what is below: paravirt_below */
    /* Why @op cannot go this way on this machine ("CPUID offers no PV EOI"); NULL: it can. May be
     * NULL: it always can. */
    const char *(*obstacle)(enum paravirt_op_id op);
    /* Makes the machine ready for @op's way on all CPUs; called before the batch. Returns a text
     * why not, or NULL. */
    const char *(*enter)(enum paravirt_op_id op);
    /* Undoes it; called when no CPU goes that way, nor is inside. Both may be NULL. */
    void (*leave)(enum paravirt_op_id op);
};

enum { PARAVIRT_BACKENDS_MAX = 8, PARAVIRT_REFUSAL_TEXT = 320 };

/* Why nothing was switched. */
struct paravirt_refusal {
    char text[PARAVIRT_REFUSAL_TEXT]; /* names op and backend, says what to do */
    struct patch_error patch;         /* status PATCH_OK unless the batch failed */
};

/* What a layer forwards to, by op: the function of the way below it. Written before the layer's
 * sites are; read by its ways (below_NAME()). */
extern paravirt_function *paravirt_below[PARAVIRT_OP_COUNT];

/* native, which is the first, kvm, counted; and what tests add. By name: NULL if there is none.
 * Context: any. */
const struct paravirt_backend *paravirt_backend_find(const char *name);
const struct paravirt_backend *paravirt_backend_at(unsigned index); /* NULL at the end */

/* Their names, ended by NULL, in that order. */
void paravirt_backend_names(const char *names[PARAVIRT_BACKENDS_MAX + 1]);

/* Why @op cannot go @backend's way on this machine; NULL: it can. Context: thread. */
const char *paravirt_backend_obstacle(const struct paravirt_backend *backend,
                                      enum paravirt_op_id op);

/* For tests: adds a backend, or takes one away that no op uses (else returns false). Not while
 * another thread looks at the list. Context: thread. */
bool paravirt_backend_add(const struct paravirt_backend *backend);
bool paravirt_backend_remove(const struct paravirt_backend *backend);

/* What an op has: its base backend, and the layer that stands over it (NULL: none). Context: any.
 */
const struct paravirt_backend *paravirt_backend_of(enum paravirt_op_id op);
const struct paravirt_backend *paravirt_layer_of(enum paravirt_op_id op);
bool paravirt_is_counted(enum paravirt_op_id op);

/* All ops to @backend, in one batch; those that it has no way for, or not on this machine, go
 * native, and the layer is taken off. Refused if it has no way at all here, or one for a part of a
 * group only. A layer is put over what each op has, and over no other layer.
 * Context: platform_may_patch(), no spinlock held. Changes are made one after the other (the change
 * lock).
 * Returns false, nothing switched, and says why in @refusal. */
bool paravirt_switch_all(const struct paravirt_backend *backend, struct paravirt_refusal *refusal);

/* One op, or the whole group that @name names, likewise; refused, too, if the backend has no way
 * for it here, or the op belongs to a group. */
bool paravirt_switch_op(const char *name, const struct paravirt_backend *backend,
                        struct paravirt_refusal *refusal);

/* Takes the layer off every op that has it. */
bool paravirt_switch_uncounted(struct paravirt_refusal *refusal);

/* All ops to @form, in one batch. */
bool paravirt_switch_form(enum paravirt_form form, struct paravirt_refusal *refusal);
enum paravirt_form paravirt_form(void);

/* What a switch, done or refused, could not put back: a thread may be inside an old way for longer
 * than a grace period waits. Harmless, but it costs. */
struct paravirt_leftovers {
    bool halting_forbidden; /* for locks, although their unlock kicks */
    bool clock_floor;       /* in force */
    unsigned ways;          /* of backends that are prepared for an op that does not go there */
};

/* Context: change lock held. */
struct paravirt_leftovers paravirt_leftovers(void);

/* Tries again to put it back; returns whether nothing is left. Each switch does, too.
 * Context: thread, interrupts on, no spinlock, no change lock held; may wait for a grace period. */
bool paravirt_leftovers_retry(void);

/* The same from time to time, as long as something is left; choice worker. */
void paravirt_leftovers_step(void);

/* The names of the forms, by enum paravirt_form; ended by NULL. */
extern const char *const paravirt_form_names[PARAVIRT_FORM_COUNT + 1];

/* Under which name the batch of a switch leaves its record: "pv backend kvm", "pv op eoi" or "pv op
 * lock" (@name: of an op or a group), "pv form inline". Nothing to change leaves none. Context:
 * any.
 */
const char *paravirt_switch_who(const struct paravirt_backend *backend);
const char *paravirt_switch_op_who(const char *name);
const char *paravirt_form_who(enum paravirt_form form);

/* Takes pv= and pv_form= from the command line; without pv=, kvm where CPUID says so.
 * Context: boot, first thread, all CPUs online. Stands in paravirt_boot.c. */
void paravirt_switch_initialize(void);
