// SPDX-License-Identifier: MIT
/* Grace periods of threads: when code or data that threads may stand in can be reused.
 *
 *     publish the new version; synchronize_tasks(); free the old one
 *
 * Readers take no lock and count nothing. A thread is seen outside patched code when it gives up
 * the CPU of its own will (blocks, sleeps, yields, ends), when it is idle, or when it says so by
 * thread_checkpoint(). Being preempted is not that: it may have happened anywhere.
 *
 *     patcher                                  a thread
 *     entry -> new image                       in the old image; preempted
 *     synchronize_tasks(): waits for it        runs on, leaves, ...
 *                                              sleeps: its count of switches goes up (release)
 *     sees the count (acquire): reuses
 *
 * Rules:
 * - A thread that computes for long without blocking calls thread_checkpoint() at a place where it
 *   is in nobody's callback: poll threads between polls, loads and benches between blocks. One that
 *   does not delays grace periods; it is named after a second, and given up after
 *   `grace_timeout_ms=` (10 s).
 * - The caller itself, blocked in here, counts as outside: so a callee of patched code may wait for
 * a grace period without waiting for itself, and must not rely on one to protect the code it is in.
 * - Interrupt handlers run with interrupts off: those in progress are waited for too. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Context: thread, interrupts on, no spinlock held. Ordering: full; pairs with whatever ended the
 * threads' stay. Returns false if a thread did not come out in time; it has been logged by name. */
bool synchronize_tasks(void);

/* "I am outside." Context: thread; a store or two. Ordering: release; partner: the acquire in
 * synchronize_tasks(); without it the caller could free what this thread still reads. */
void thread_checkpoint(void);

struct grace_statistics {
    uint64_t periods;   /* finished */
    uint64_t given_up;  /* ended by the time limit */
    uint64_t waited_ns; /* in all */
    uint64_t longest_ns;
};
void grace_statistics_read(struct grace_statistics *statistics);
