// SPDX-License-Identifier: MIT
/* Threads that run through the hold sites on every CPU but the caller's, and count what they got.
 * Invariant: whatever is counted in a window was executed, from its first instruction to its last,
 * while the window was open; not a run is lost or counted twice. One set of readers at a time.
 * Called by: hold_flip.c, bench_hold.c, tests/kernel. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bench/hold_sites.h"

struct hold_counts {
    uint64_t rounds;                              /* times through all sites */
    uint64_t traps;                               /* int3 emulated on this CPU meanwhile */
    uint64_t outcomes[HOLD_SITES][HOLD_OUTCOMES]; /* the three add up to `rounds` for each site */
};

/* Starts one reader on every other CPU and waits until all run. Returns false, none running, when
 * memory is short. Context: thread. */
bool hold_readers_start(void);
void hold_readers_stop(void);

/* Whether CPU @cpu has a reader. */
bool hold_reader_runs(unsigned cpu);

/* Runs that came to a mixture since the start, in a window or not, all readers together. */
uint64_t hold_readers_mixed(void);

/* The same for one of the hold sites. */
uint64_t hold_readers_mixed_at(unsigned site);

/* Rounds of @cpu's reader since the start; grows while it runs. */
uint64_t hold_reader_rounds(unsigned cpu);

struct hold_window {
    uint64_t rounds;     /* every reader does at least so many, 1 or more, */
    uint64_t least_ns;   /* and the window is open at least so long */
    uint64_t timeout_ns; /* then readers that have not done their rounds are given up */
    /* Called again and again meanwhile; should sleep or spin a little. Returns false to end the
     * window at once. */
    bool (*meanwhile)(void *argument);
    void *argument;
};

enum hold_window_result { HOLD_WINDOW_DONE, HOLD_WINDOW_ENDED, HOLD_WINDOW_STUCK };

/* Opens a window and closes it. After DONE hold_reader_counts() are those of this window; after
 * ENDED and STUCK they mean nothing, and @stuck_cpu is the CPU that made no progress.
 * Context: thread, may hold the patch lock. */
enum hold_window_result hold_window_count(const struct hold_window *window, unsigned *stuck_cpu);
const struct hold_counts *hold_reader_counts(unsigned cpu);

/* Makes @cpu's reader run on with interrupts off for @ns from now; returns when they are off, or
 * false after @timeout_ns. Context: thread, may hold the patch lock, no window open. */
bool hold_reader_mute(unsigned cpu, uint64_t ns, uint64_t timeout_ns);

/* Whether interrupts of a muted reader are still off; once false, what it counted meanwhile. */
bool hold_reader_is_muted(unsigned cpu);
const struct hold_counts *hold_reader_muted_counts(unsigned cpu);
