// SPDX-License-Identifier: MIT
/* Grace periods of the live platform; see live.h. For live.c. */
#pragma once

/* The calling thread becomes CPU @cpu, and is outside now; or stops being one, and is outside. */
void live_grace_enter(unsigned cpu);
void live_grace_leave(unsigned cpu);
