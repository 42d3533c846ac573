// SPDX-License-Identifier: MIT
/* The kernel that net/ finds when it is built as a Linux program (headers: net_overlay/): memory,
 * a clock that only tests move, a log that is kept, waits that a test fills, moments at which it
 * looks. Invariant: a wait ends at its deadline at the latest, by moving the clock there. Used by:
 * net_fake_device.c, net_*.c, tests/fuzz/fuzz_packet.c. */
#pragma once

#include <stddef.h>
#include <stdint.h>

extern uint64_t net_fake_now_ns; /* clock_now_ns() */
extern char net_fake_log[8192];  /* lines of log_write(); a full one keeps the oldest */

/* Called while a thread of the kernel would sleep or wait; NULL: nothing happens meanwhile. */
extern void (*net_fake_on_wait)(void);

/* Called outside of all locks where another thread's look is worth having: before a mutex is taken,
 * after it is released, at a line of the log; NULL: nobody looks. */
extern void (*net_fake_on_look)(void);

/* Pages and heap blocks that were handed out and are not freed. */
extern size_t net_fake_memory_count;
