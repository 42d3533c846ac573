// SPDX-License-Identifier: MIT
/* A batch over hold sites that is held at each of its steps, and the check of what CPUs may execute
 * there. Invariant: which outcomes are allowed follows from protocol, step, moment and site alone;
 * any other is a fault, told once with CPU, site and counts. Called by: bench_hold.c, tests/kernel.
 *
 *     static struct hold_flip flip = {.protocol = ..., .sites = HOLD_ALL_SITES,
 *                                     .goal = HOLD_FORM_SECOND, .visit = look};
 *     status = hold_flip_apply(&flip);      calls look(&flip) at every step and moment
 *
 * What is allowed, of a site that the step is about ("trap": the new instruction, emulated):
 *
 *     step    moment    int3, int3-batch, qword elsewhere    qword inside a quadword    stop
 *     int3    written   old, trap                            old
 *     int3    synced    trap                                 old
 *     tail    written   trap                                 old
 *     tail    synced    trap                                 old
 *     first   written   trap, new                            old, new                   nothing
 *     first   synced    new                                  new
 *
 * A site that int3 has still before it is old, one behind it new. A mixture is never allowed (but
 * see fetch_is_bytewise); naive produces it, and is here to show that the check can fail. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/hold_readers.h"
#include "patching/poke.h"

enum { HOLD_FAULT_TEXT = 240 };
#define HOLD_ALL_SITES ((1u << HOLD_SITES) - 1)

struct hold_flip {
    /* set by the caller: */
    enum patch_protocol_id protocol;
    unsigned flags; /* enum patch_flag */
    uint32_t sites; /* bit i: hold_sites[i] takes part; the others stand in their first form */
    enum hold_form goal;
    bool fetch_is_bytewise; /* here a store into a quadword may be fetched half: until the sync
                               mixtures of quadword sites are no fault (patch_platform.c) */
    void (*visit)(struct hold_flip *flip); /* NULL: none. Context: see patch_hold.h */
    void *argument;                        /* for visit() */
    /* where the batch is; for visit(): */
    enum patch_step step;
    enum patch_moment moment;
    unsigned holds;     /* 1 at the first */
    unsigned in_flight; /* int3, naive: index of the site at hand; else HOLD_SITES */
    unsigned written;   /* naive: its bytes that are new */
    /* results: */
    bool is_faulty;
    char fault[HOLD_FAULT_TEXT];
    struct patch_record record;
    struct patch_error error;
};

/* Flips the sites. One at a time. Context: thread, patch lock not held. */
PATCH_MUST_CHECK enum patch_status hold_flip_apply(struct hold_flip *flip);

/* Whether a batch of @protocol over @sites has that step. */
bool hold_protocol_has_step(enum patch_protocol_id protocol, uint32_t sites, enum patch_step step);

/* For visit(); each returns false after a fault, whose text is kept if it is the first. */

/* Opens a window for the readers, and checks what each of them got. HOLD_WINDOW_DONE also with
 * faults. @window->meanwhile NULL: sleeps. Not for protocol stop. */
enum hold_window_result hold_flip_count(struct hold_flip *flip, struct hold_window window);

/* Where platform_text_needs_refresh(): writes the first bytes once more. Whoever waits in visit()
 * for threads at the sites calls it now and then: without it a CPU could go on running old bytes,
 * or into an int3 that is gone, for as long as the batch is held. hold_flip_count() does it by
 * itself.
 */
void hold_flip_refresh(void);

/* The bytes of every site are those that belong here. */
bool hold_flip_check_text(struct hold_flip *flip);

/* The counts of one CPU are allowed here. */
bool hold_flip_check_counts(struct hold_flip *flip, unsigned cpu, const struct hold_counts *counts);

/* The same for runs of one site that came to @outcome; traps are not looked at. */
bool hold_flip_check_outcome(struct hold_flip *flip, unsigned site, enum hold_outcome outcome);

void hold_flip_fault(struct hold_flip *flip, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Sums over the sites in flight: for int3 and naive one, else all that take part; @new includes
 * @emulated. */
struct hold_sums {
    uint64_t old, emulated, new, mixed;
};
void hold_flip_sum(const struct hold_flip *flip, const struct hold_counts *counts,
                   struct hold_sums *sums);

/* By enum patch_step and enum patch_moment; each ended by NULL. */
extern const char *const hold_step_names[];
extern const char *const hold_moment_names[];
