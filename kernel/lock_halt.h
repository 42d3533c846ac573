// SPDX-License-Identifier: MIT
/* Halting instead of spinning for a lock: the algorithm, for any machine that can halt a CPU until
 * another one kicks it. Used by: the kvm backend (HLT, hypercall), tests (a word in memory).
 *
 * Invariant: a CPU halts only after it has announced lock and ticket, found the ticket not served
 * yet, and found halting allowed; whoever serves a ticket looks for an announcement behind its
 * store. One of the two sees the other:
 *
 *     waiter                                    owner
 *     announce {lock, ticket}; lock->halted++   lock->serving++     (both full barriers)
 *     serving != ticket?                        lock->halted != 0?
 *     halt                                      kick who announced {lock, serving}
 *
 * A kick that comes before the halt must not be lost: the machine's halt returns at once then. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct spinlock;

enum { LOCK_HALT_SPINS = 1 << 10 }; /* PAUSEs before it halts: longer than most locks are held */

/* lock_slow: waits until @ticket is served, at first spinning. halt(interrupts) halts this CPU
 * until a kick, an interrupt it may take, or for no reason at all; it returns at once if a kick has
 * come since it last returned; @interrupts: whether they are on. Context: preemption off. */
void lock_halt_wait(struct spinlock *lock, uint32_t ticket, void (*halt)(bool interrupts));

/* lock_unlock: serves the next ticket and kicks (op lock_kick) the CPU that halted for it. */
void lock_halt_unlock(struct spinlock *lock);

/* Forbids halting and returns when no CPU halts, or is about to: whoever waits spins from then on.
 * Context: thread, interrupts on, no spinlock held. Ordering: full. */
void lock_halt_forbid(void);

/* Allows it again. Every CPU's unlock must be one that kicks by now. */
void lock_halt_allow(void);

/* How often a CPU halted, and how often one was kicked, since boot. Context: any. */
struct lock_halt_counts {
    uint64_t halts, kicks;
};
struct lock_halt_counts lock_halt_counts(unsigned cpu);
