// SPDX-License-Identifier: MIT
/* Somebody who changes text, on a second stack of this thread: it is taken from one moment to the
 * next wherever a schedule says so, and the thread plays a CPU meanwhile. Invariant: there is one,
 * and it runs in updater_go_on() alone. Used by: test_static_call_steps.c,
 * test_dynamic_call_steps.c. */
#pragma once

#include <stdbool.h>

struct updater {
    unsigned moments; /* that it has gone through */
    bool is_done;     /* update() has returned true */
};
extern struct updater updater;

/* update() is what it will do. Another one, if there is any, is forgotten where it stands. */
void updater_start(bool (*update)(void));

/* Called by update(): a moment, at which the CPU goes on. */
void updater_pause(void);

/* Takes it through @moments of them, or to its end. */
void updater_go_on(unsigned moments);
