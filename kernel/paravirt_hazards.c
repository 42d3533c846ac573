// SPDX-License-Identifier: MIT
/* Before and behind a batch of paravirt ops; see paravirt_switch.h for what could go wrong.
 * Invariants: a backend has been entered for every op that has it, or that somebody may be inside;
 * halting for a lock is allowed only while every CPU's unlock kicks; the clock's floor is in force
 * while the source changes. Called by: paravirt_switch.c, under the change lock. */
#include "kernel/paravirt_hazards.h"

#include "arch/clock.h"
#include "arch/clock_floor.h"
#include "kernel/clock_change.h"
#include "kernel/lock_halt.h"
#include "kernel/log.h"
#include "patching/platform.h"

#define RETRY_NS 30000000000ull /* longer than a grace period waits: others get the change lock */

/* ---- backends that prepare the machine ---- */

static bool is_in_use(const struct paravirt_backend *backend, enum paravirt_op_id op,
                      const struct paravirt_states *in)
{
    return in->ops[op].base == backend || in->ops[op].layer == backend;
}

static bool backend_enter(struct paravirt_registered *entry, enum paravirt_op_id op,
                          struct paravirt_refusal *refusal)
{
    const struct paravirt_backend *backend = entry->backend;
    const char *reason = backend->enter != NULL ? backend->enter(op) : NULL;

    if (reason != NULL) {
        return paravirt_refuse(refusal, "backend %s: op %s: %s", backend->name,
                               paravirt_ops[op].name, reason);
    }
    entry->entered |= 1u << op;
    return true;
}

/* Enters what @wanted needs and is not entered yet. */
static bool backends_enter(const struct paravirt_states *wanted, struct paravirt_refusal *refusal)
{
    struct paravirt_registered *entry;
    bool is_done = true;

    for (unsigned i = 0; (entry = paravirt_registered_at(i)) != NULL; i++) {
        for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT && is_done; op++) {
            if (is_in_use(entry->backend, op, wanted) && (entry->entered & 1u << op) == 0) {
                is_done = backend_enter(entry, op, refusal);
            }
        }
    }
    return is_done;
}

/* Ops for which @entry was entered and is not needed any more, as bits. */
static uint32_t ops_unused(const struct paravirt_registered *entry,
                           const struct paravirt_states *now)
{
    uint32_t unused = entry->entered;

    for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
        if (is_in_use(entry->backend, op, now)) {
            unused &= ~(1u << op);
        }
    }
    return unused;
}

/* Whether leaving those takes a grace period: nobody may be inside when the machine is put back. */
static bool backends_need_grace(const struct paravirt_states *now)
{
    struct paravirt_registered *entry;
    bool any = false;

    for (unsigned i = 0; (entry = paravirt_registered_at(i)) != NULL; i++) {
        any = any || (entry->backend->leave != NULL && ops_unused(entry, now) != 0);
    }
    return any;
}

static void backends_leave(const struct paravirt_states *now)
{
    struct paravirt_registered *entry;

    for (unsigned i = 0; (entry = paravirt_registered_at(i)) != NULL; i++) {
        uint32_t unused = ops_unused(entry, now);

        for (enum paravirt_op_id op = 0; op < PARAVIRT_OP_COUNT; op++) {
            if ((unused & 1u << op) != 0 && entry->backend->leave != NULL) {
                entry->backend->leave(op);
            }
        }
        entry->entered &= ~unused;
    }
}

/* ---- locks and clock ---- */

/* under the change lock: */
static bool halting_is_allowed;
static bool clock_is_changing;

static uint64_t retry_at_ns; /* written under the change lock; atomic; 0: nothing is left */

static bool base_changes(enum paravirt_op_id op, const struct paravirt_states *now,
                         const struct paravirt_states *wanted)
{
    return now->ops[op].base != wanted->ops[op].base;
}

/* A layer forwards to the same base: it neither changes who kicks nor the source. */
static bool locks_begin(const struct paravirt_states *now, const struct paravirt_states *wanted,
                        struct paravirt_refusal *refusal)
{
    if (!halting_is_allowed || !base_changes(PARAVIRT_lock_unlock, now, wanted)) {
        return true;
    }
    halting_is_allowed = !lock_halt_forbid();
    return !halting_is_allowed ||
           paravirt_refuse(refusal, "op lock_kick: a CPU that halted for a lock does not wake");
}

static bool clock_begin(const struct paravirt_states *now, const struct paravirt_states *wanted,
                        struct paravirt_refusal *refusal)
{
    if (clock_is_changing || !base_changes(PARAVIRT_clock_read, now, wanted)) {
        return true;
    }
    clock_is_changing = clock_change_begin();
    return clock_is_changing ||
           paravirt_refuse(
               refusal, "op clock_read: a grace period was given up; the log names who was inside");
}

static bool may_allow_halting(const struct paravirt_states *now)
{
    return !halting_is_allowed && now->ops[PARAVIRT_lock_unlock].base->kicks;
}

/* ---- all of it ---- */

bool paravirt_hazards_begin(const struct paravirt_states *now, const struct paravirt_states *wanted,
                            struct paravirt_refusal *refusal)
{
    return backends_enter(wanted, refusal) && locks_begin(now, wanted, refusal) &&
           clock_begin(now, wanted, refusal);
}

/* The grace period: an unlock that does not kick may be half done, a read of the old source, or of
 * memory that the old backend shares with the host. */
static bool is_safe_to_let_go(const struct paravirt_states *now)
{
    bool needs_grace = backends_need_grace(now) || may_allow_halting(now) || clock_is_changing;

    return !needs_grace || platform_synchronize();
}

static void retry_later(bool is_anything_left)
{
    __atomic_store_n(&retry_at_ns, is_anything_left ? clock_now_ns() + RETRY_NS : 0,
                     __ATOMIC_RELAXED);
}

void paravirt_hazards_end(const struct paravirt_states *now)
{
    if (!is_safe_to_let_go(now)) {
        log_warning("paravirt ops: a thread may be inside a way that was taken away: what that way "
                    "needs is kept; tried again by the next switch, and every %llu s",
                    (unsigned long long)(RETRY_NS / 1000000000));
        retry_later(true);
        return;
    }
    backends_leave(now);
    clock_is_changing = clock_is_changing && !clock_change_end();
    if (may_allow_halting(now)) {
        lock_halt_allow();
        halting_is_allowed = true;
    }
    retry_later(clock_is_changing);
}

bool paravirt_hazards_retry_is_due(void)
{
    uint64_t at_ns = __atomic_load_n(&retry_at_ns, __ATOMIC_RELAXED);

    return at_ns != 0 && clock_now_ns() >= at_ns;
}

static unsigned ops_count(uint32_t ops)
{
    unsigned count = 0;

    for (; ops != 0; ops &= ops - 1) {
        count++;
    }
    return count;
}

struct paravirt_leftovers paravirt_hazards_left(const struct paravirt_states *now)
{
    struct paravirt_leftovers left = {
        .halting_forbidden = may_allow_halting(now),
        .clock_floor = __atomic_load_n(&clock_floor_is_on, __ATOMIC_RELAXED),
    };
    struct paravirt_registered *entry;

    for (unsigned i = 0; (entry = paravirt_registered_at(i)) != NULL; i++) {
        if (entry->backend->leave != NULL) {
            left.ways += ops_count(ops_unused(entry, now));
        }
    }
    return left;
}
