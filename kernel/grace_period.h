// SPDX-License-Identifier: MIT
/* Grace periods of threads: when code or data that threads may stand in can be reused.
 *
 *     publish the new version; if (synchronize_tasks()) { free the old one }
 *
 * Readers take no lock and count nothing. A thread is seen outside patched code when it gives up
 * the CPU of its own will (blocks, sleeps, yields, ends), when it is idle, or when it says so by
 * thread_checkpoint(). Being preempted is not that: it may have happened anywhere.
 *
 *     patcher                                  a thread
 *     entry -> new image                       in the old image; preempted
 *     all CPUs serialise
 *     period = ++newest                        runs on in the old image, leaves it
 *     looks: not outside since then; sleeps    yields: reads newest == period (acquire),
 *                                                outside_period = period (release)
 *     sees that (acquire): frees               enters: by the new entry, for it read it behind
 *                                                newest
 *
 * Rules:
 * - A thread that computes for long without blocking calls thread_checkpoint() at a place where it
 *   is in nobody's callback: poll threads between polls, loads and benches between blocks. One that
 *   does not delays grace periods; it is named after a second, and given up after
 *   `grace_timeout_ms=` (10 s).
 * - A callee of patched code that blocks is outside from then on: what it returns to is not
 *   protected. So it does not block, unless whoever frees that code knows better.
 * - The caller itself, blocked in here, counts as outside: so a callee of patched code may wait for
 *   a grace period without waiting for itself, and must not rely on one to protect the code it is
 *   in.
 * - Interrupt handlers run with interrupts off: those in progress are waited for too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define GRACE_TIMEOUT_MS     10000
#define GRACE_TIMEOUT_MS_MAX 59999

/* Waits until every thread that exists has been outside, and every interrupt handler in progress
 * has ended. Several callers may wait at once. Allocates nothing.
 * Context: thread, interrupts on, no spinlock held; or early boot, before there are threads.
 * Ordering: full; pairs with whatever ended the threads' stay.
 * Returns false if a thread did not come out in time, or a CPU with interrupts off did not answer
 * (sync_timeout_ms=); it has been logged by name. */
bool synchronize_tasks(void);

/* "I am outside." Context: thread; a load and a store. Ordering: release; partner: the acquire in
 * synchronize_tasks(); without it the caller could free what this thread still reads. */
void thread_checkpoint(void);

/* How long synchronize_tasks() waits. Returns what it was before. Context: boot; tests. */
uint64_t grace_timeout_set_ms(uint64_t limit_ms);

struct grace_statistics {
    uint64_t periods;   /* finished */
    uint64_t given_up;  /* ended by the time limit */
    uint64_t waited_ns; /* in all */
    uint64_t longest_ns;
};
void grace_statistics_read(struct grace_statistics *statistics);

/* Number of the newest period; atomic. */
extern uint64_t grace_newest_period;

/* For the scheduler: the thread that owns *@outside_period is outside now.
 * Ordering: acquire, so that what it reads from now on is not older than the period; then release,
 * so that who sees the number (look_at_thread() in grace_period.c) sees all that it did before.
 */
static inline void grace_period_note_outside(uint64_t *outside_period)
{
    uint64_t newest = __atomic_load_n(&grace_newest_period, __ATOMIC_ACQUIRE);

    __atomic_store_n(outside_period, newest, __ATOMIC_RELEASE);
}
