// SPDX-License-Identifier: MIT
/* What the TSC is calibrated by, and the time of day. Boot only; for clock.c. */
#pragma once

#include <stdint.h>

/* Asks the sources in turn. Returns the TSC's frequency in Hz and the source's name, or 0. */
uint64_t clock_source_measure(const char **name);

/* Seconds since 1970-01-01 by the CMOS clock, taken as UTC; 0 if it gives nonsense. */
uint64_t rtc_read_seconds(void);
