// SPDX-License-Identifier: MIT
/* The thread that patches what lazy calls report (patching/lazy_call.h). Invariant: one such
 * thread; it sleeps while nothing is reported. Callers: main.c; tests and benches, which wait. */
#pragma once

/* Starts the thread, which first looks for what was reported before. Context: thread, once. Without
 * memory for it, which is logged, lazy calls stay indirect. */
void patch_worker_start(void);

/* Keeps the worker from patching until it is let go: for tests and benches that look at reports.
 * Context: thread; one holder at a time. On return of hold no pass is in progress. */
void patch_worker_hold(void);
void patch_worker_release(void);
