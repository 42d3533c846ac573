// SPDX-License-Identifier: MIT
/* How long someone has been silent: for who waits for another CPU, or a device, and may have been
 * away himself. A host stops one CPU, or all of the machine, for seconds; who comes back then and
 * looks at the clock has waited for nobody in between: the others may have had no time either.
 *
 * Invariant: one look never counts for more than a sixteenth of the patience, however long ago the
 * one before was. So who gives up has looked 16 times and let the whole patience pass; a waiter
 * that was never away gives up at the same time as by the clock; and one that is away again and
 * again still gives up.
 *
 * A waiter that runs must look more often than that, or it waits for longer than it means to: who
 * spins looks every few microseconds, who sleeps every millisecond and has a second or more.
 *
 * Pure, and inline, so that .text.nopatch may use it. Callers: ipi.c, nmi.c, whatever else waits
 * with a limit for an answer. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

enum { PATIENCE_LOOKS = 16 };

struct patience { /* all zero: not begun */
    uint64_t last_look_ns;
    uint64_t look_max_ns; /* what one look may count for */
    uint64_t silence_ns;
};

/* Begins to wait. @limit_ns: the shortest silence that the caller acts upon. */
static inline struct patience patience_begin(uint64_t now_ns, uint64_t limit_ns)
{
    /* Never 0: silence that does not grow would be waited for without end. */
    return (struct patience){.last_look_ns = now_ns, .look_max_ns = limit_ns / PATIENCE_LOOKS + 1};
}

static inline bool patience_has_begun(const struct patience *patience)
{
    return patience->look_max_ns != 0;
}

/* Called at each look that found no answer, by who began to wait. Returns the nanoseconds of
 * silence so far. A clock that goes back counts like a gap: the wait ends all the same. */
static inline uint64_t patience_spent(struct patience *patience, uint64_t now_ns)
{
    uint64_t gap_ns = now_ns - patience->last_look_ns;

    patience->last_look_ns = now_ns;
    patience->silence_ns += gap_ns < patience->look_max_ns ? gap_ns : patience->look_max_ns;
    return patience->silence_ns;
}
