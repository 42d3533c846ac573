// SPDX-License-Identifier: MIT
/* The thread that lets dispatchers choose their shape (patching/dispatcher_auto.h). Invariant: one
 * such thread; what it decides is one line in the log, level debug. Callers: main.c; tests and
 * benches, which hold it. */
#pragma once

/* Takes dispatch= from the command line: `auto`, the default, switches automatic choice on for all
 * dispatchers that are not by hand; the name of a shape gives them that. Starts the thread.
 * Context: thread, once. Without memory for it, which is logged, shapes stay what they are. */
void choice_worker_start(void);

/* Keeps the worker from patching until it is let go: for tests and benches that count patches, or
 * compare text. Context: thread; one holder at a time. On return of hold it is not patching; a
 * trial that has begun stands still. */
void choice_worker_hold(void);
void choice_worker_release(void);
