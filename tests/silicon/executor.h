// SPDX-License-Identifier: MIT
/* The thread on the other CPU, which runs through the sites while they change. Invariant: it counts
 * every execution as old, new or bad; a bad one never ends the program. Used by: watch.c and the
 * measurements. Context: all but executor_pulse(): the main thread. */
#pragma once

#include "tests/host/live_sites.h"

struct executor_counts {
    uint64_t executions; /* of sites */
    uint64_t bad;        /* neither old nor new */
    uint64_t faults;     /* of the bad ones: ended in SIGILL, SIGSEGV or a stray int3 */
};

/* Installs the handlers that survive bad executions. Returns 0, or -1 and errno. */
int executor_initialize(void);

/* Starts it; returns when it runs. It runs through all of @sites again and again, or, if @count is
 * 0, spins. */
void executor_begin(const struct live_site *sites, size_t count);

/* What it has counted so far: all that belongs to run-throughs that began before the call. */
struct executor_counts executor_counts_await(void);

/* Ends it. */
void executor_end(void);

/* Changes whenever it has run through all sites once; is it running at all? */
uint64_t executor_pulse(void);
int executor_thread(void); /* its number in the kernel; 0: there is none */
