// SPDX-License-Identifier: MIT
/* Holding a patch at one of its steps, for tests and `bench poke --hold`: the patcher's thread
 * calls a function of the holder there, lock held, while all other CPUs run on. Invariant: one
 * holder at a time; costs one load a step while nobody holds. Called by: patch_platform.c
 * (reach), benches and test suites (set). */
#pragma once

#include "patching/step.h"

/* @argument: as given to patch_hold_set(). Context: see platform_step_reached(). */
typedef void patch_hold_function(enum patch_step step, enum patch_moment moment, void *argument);

/* From now on @function is called at every step of every batch; NULL: at none. Context: thread, no
 * batch of another thread in flight that should not be held. */
void patch_hold_set(patch_hold_function *function, void *argument);

/* A step was reached. Context: see platform_step_reached(). */
void patch_hold_reach(enum patch_step step, enum patch_moment moment);
