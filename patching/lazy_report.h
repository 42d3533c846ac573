// SPDX-License-Identifier: MIT
/* Reports of call sites on their way to the worker: a ring of slots on each CPU, one word each.
 * Invariant: a slot is empty (0) or holds one site, and each site put in is taken out once.
 * Callers: lazy_call.c: the stub puts in, the worker takes out.
 *
 * A report is one word so that claiming a slot and filling it are one action: a thread preempted,
 * or a CPU interrupted, in the middle of a report leaves nothing half done that others would have
 * to wait for. The order of reports means nothing, hence no head and no tail: a report takes the
 * first empty slot. Which call it is about, the site's own instruction tells. */
#pragma once

#include "patching/platform.h"

#include <stdbool.h>
#include <stdint.h>

/* 64 KiB of slots for 256 CPUs. More sites than this that one CPU meets for the first time before
 * the worker comes cost one more slow call each. */
enum { LAZY_REPORT_SLOTS = 32 };

enum lazy_report_result {
    LAZY_REPORT_ADDED,
    LAZY_REPORT_PENDING, /* it is in a slot of this CPU already */
    LAZY_REPORT_FULL,
};

/* Puts @site, not 0, into a slot of CPU @cpu. Context: any; any number of threads and interrupts
 * for the same CPU. Ordering: full, if it was added; pairs with lazy_report_take(). */
enum lazy_report_result lazy_report_add(unsigned cpu, uint64_t site);

/* Takes what is in slot @slot of CPU @cpu; 0 if it is empty. Context: any. Ordering: full. */
uint64_t lazy_report_take(unsigned cpu, unsigned slot);
