// SPDX-License-Identifier: MIT
/* Halting instead of spinning for a lock: the algorithm, for any machine that can halt a CPU until
 * another one kicks it. Used by: the kvm backend (HLT, hypercall), tests (a word in memory).
 *
 * Invariant: a CPU halts only after it has announced lock and ticket, found the ticket not served
 * yet, and found halting allowed; whoever serves a ticket, or forbids halting, looks for an
 * announcement behind its store. One of the two sees the other:
 *
 *     waiter                                    owner
 *     announce {lock, ticket}; lock->halted++   lock->serving++     (both full barriers)
 *     serving != ticket?                        lock->halted != 0?
 *     halt                                      kick who announced {lock, serving}
 *
 *     waiter                                    who forbids
 *     announce; lock->halted++                  allowed = false     (both full barriers)
 *     allowed?                                  anybody announced?
 *     halt                                      kick each, wait until nobody is announced
 *
 * A kick that comes before the halt must not be lost: the machine's halt returns at once then. A
 * kick too many is harmless: whoever returns from a halt looks at the lock again.
 *
 * Only who waits with interrupts off halts; nothing but its lock's owner may need such a CPU, as
 * if it were spinning (an NMI wakes it, and it looks again). With interrupts on one waits only for
 * the sync's lock (arch/ipi.c), where two patchers meet: it spins, so that no handler can come
 * between the announcement and the halt, use up the kick, or announce a lock of its own. */
#pragma once

#include "arch/percpu.h"

#include <stdbool.h>
#include <stdint.h>

struct spinlock;

enum { LOCK_HALT_SPINS = 1 << 10 }; /* PAUSEs before it halts: longer than most locks are held */

/* PAUSEs before a CPU halts, LOCK_HALT_SPINS; atomic, at least 1. Tests make it short. */
extern uint32_t lock_halt_spins;

/* lock_slow: waits until @ticket is served, at first spinning, then halting in between. halt()
 * halts this CPU, interrupts off, until a kick or for no reason at all; it returns at once if a
 * kick has come since it last returned. Context: preemption off, any lock_unlock while halting is
 * forbidden. */
void lock_halt_wait(struct spinlock *lock, uint32_t ticket, void (*halt)(void));

/* lock_unlock, as a way of that op: the lock in rdi, keeps all registers. Serves the next ticket
 * and kicks (op lock_kick) the CPU that halted for it. */
void lock_halt_unlock(void);

/* Forbids halting and returns when no CPU halts, or is about to: whoever waits spins from then on.
 * Context: thread, interrupts on, no spinlock held. Ordering: full.
 * Returns false if a CPU did not wake, halting being allowed as before; it has been logged. */
bool lock_halt_forbid(void);

/* Allows it again. Every CPU's unlock must be one that kicks by now, and no other one half done. */
void lock_halt_allow(void);

/* What a row of looks has seen of each CPU. All 0: nothing yet. */
enum { LOCK_HALT_LOOKS = 24 };
struct lock_halt_watch {
    struct {
        const struct spinlock *lock;
        uint32_t ticket, serving;
        uint32_t looks; /* that saw just this, in a row */
    } cpus[CPU_MAX];
};

/* Looks once at what each CPU has halted for. Returns a lock if a CPU has been announced for it
 * with one ticket for LOCK_HALT_LOOKS looks in a row, and the same other ticket was served all the
 * time: its owner does not release it, and the CPU, halted, cannot say so; else NULL. Looks are
 * counted, not time, which leaps when the host lets the whole machine stand. Context: any, one
 * caller at a time for each @watch. */
const struct spinlock *lock_halt_look(struct lock_halt_watch *watch);

/* How often a CPU halted for a lock, and how often it kicked another one that did, since boot.
 * Context: any. */
struct lock_halt_counts {
    uint64_t halts, kicks;
};
struct lock_halt_counts lock_halt_counts(unsigned cpu);
