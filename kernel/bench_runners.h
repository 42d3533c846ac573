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

/* Starts @count runners, one on each of the first @count other CPUs, running the @sites sites from
 * @first. Returns false, nothing running, when memory is short. Context: thread. */
bool runners_start(unsigned count, uint64_t first, uint32_t sites);

/* Marks the begin of a flip, after every runner has had its quiet stretch. Context: thread. */
void runners_flip_begin(void);

/* Marks its end, and adds what it took from each runner, in ns, to @stolen. */
void runners_flip_end(struct histogram *stolen);

/* Ends the runners. Returns how many passes did not run each site exactly once. */
uint64_t runners_stop(void);
