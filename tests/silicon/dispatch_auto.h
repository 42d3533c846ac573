// SPDX-License-Identifier: MIT
/* Automatic choice on the live dispatcher `bench`: another thread makes the calls of the sequence
 * (dispatch_loops_set()) while the engine of dispatcher_auto.h tries shapes and decides. Invariant:
 * no thread is left behind, and the dispatcher is chosen for by hand again. Used by:
 * dispatch_row.c. Context: the main thread. */
#pragma once

#include <stdbool.h>

/* Returns true once there is a decision: the dispatcher then has the form chosen. False if the
 * engine did not come to one in ten seconds. */
bool dispatch_auto_choose(void);
