// SPDX-License-Identifier: MIT
/* The time stamp counter in nanoseconds. Invariant: calibrated once, before threads start. Used by:
 * live.c (platform_ticks_to_ns), tests/silicon. */
#pragma once

#include <stdint.h>

/* Takes 20 ms. */
void live_clock_calibrate(void);

uint64_t live_clock_hz(void); /* of the time stamp counter */
double live_clock_ns(double ticks);
