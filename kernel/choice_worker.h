// SPDX-License-Identifier: MIT
/* The thread that lets dispatchers choose their shape (patching/dispatcher_auto.h) and dynamic
 * calls learn their targets (patching/dynamic_auto.h). Invariant: one such thread; what it decides
 * is one line in the log, level debug. Callers: main.c; tests and benches, which hold it. */
#pragma once

/* Takes dispatch=, dyncall= and dyncall_form= from the command line. dispatch: `auto`, the default,
 * switches automatic choice on for all dispatchers that are not by hand; the name of a shape gives
 * them that. dyncall: `auto`, the default, lets all dynamic calls learn that are not by hand; `off`
 * none. Starts the thread. Context: thread, once. Without memory for it, which is logged,
 * dispatchers and dynamic calls stay what they are. */
void choice_worker_start(void);

/* Keeps the worker from patching until it is let go: for tests and benches that count patches, or
 * compare text. Context: thread; one holder at a time. On return of hold it is not patching; a
 * trial that has begun stands still. */
void choice_worker_hold(void);
void choice_worker_release(void);
