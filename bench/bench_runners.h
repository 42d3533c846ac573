// SPDX-License-Identifier: MIT
/* CPUs that run through the bench sites in a loop and time each pass: what a flip takes from them.
 * Invariant: every tick of a runner belongs to exactly one pass, and every pass that overlaps a
 * flip is counted to that flip. One set of runners at a time. Callers: bench_flip.c.
 *
 * stolen time of a flip on a CPU =
 *     sum over the passes that overlap the flip of (duration - typical duration)
 * typical = median of the 31 passes right before the flip, overlapped by none.
 *
 * It holds whatever kept the CPU from running its sites: IPIs, being parked, int3 handlers, caches
 * and translations to be filled again. Not counted: what the first pass behind the flip still pays.
 * With more busy CPUs than the host has cores it is mostly the host's time slices; where time
 * counts instructions of all CPUs in turn (QEMU's icount), it holds the turns of the others. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "patching/histogram.h"

enum runners_start { RUNNERS_STARTED, RUNNERS_NO_MEMORY, RUNNERS_INTERRUPTED };

/* Starts @count runners, one on each of the first @count other CPUs, running the @sites sites from
 * @first; waits for runners that runners_stop() left behind. Anything but RUNNERS_STARTED: none
 * runs the new sites. Context: thread. */
enum runners_start runners_start(unsigned count, uint64_t first, uint32_t sites);

/* Marks the begin of a flip, after every runner has had its quiet stretch. Returns false, nothing
 * begun, if a runner gets nowhere and Ctrl-C came. Context: thread. */
bool runners_flip_begin(void);

/* Marks its end, and adds what it took from each runner, in ns, to @stolen. Returns false, nothing
 * added, if a runner gets nowhere and Ctrl-C came. */
bool runners_flip_end(struct histogram *stolen);

/* Ends the runners; @wrong_passes: how many passes did not run each site exactly once. Returns
 * false if one gets nowhere, as its CPU has its interrupts off, and Ctrl-C came: it ends when it
 * can, and the next start waits for it. */
bool runners_stop(uint64_t *wrong_passes);
