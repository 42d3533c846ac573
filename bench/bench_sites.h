// SPDX-License-Identifier: MIT
/* Sites that belong to no key: a batch of any size, placed well or badly. Invariant: the first
 * @count sites of a pass are the last @count of the row, so one pass runs each of them exactly
 * once, taken or skipped. Defined in bench_sites.asm. Callers: bench_flip.c, bench_runners.c. */
#pragma once

#include <stdint.h>

#include "patching/poke.h"

#define BENCH_SITE_STRIDE 16 /* from one site to the next */
#define BENCH_SITE_LENGTH 5
#define BENCH_SITE_JUMP   4 /* from the end of a site to where its jump goes */

/* Where the sites of a row lie. */
enum bench_placement {
    BENCH_QUADWORD, /* each inside an aligned quadword */
    BENCH_ACROSS,   /* each across the end of one; every fourth across a cache line */
};
extern const char *const bench_placement_names[]; /* ended by NULL */

extern const char bench_sites_quadword_end[], bench_sites_across_end[];

/* Runs through the sites from the one at @first to the end of its row.
 * Returns taken << 16 | skipped. */
uint32_t bench_sites_run(uint64_t first);

/* The first of @count sites (1 to PATCH_BATCH_MAX). */
static inline uint64_t bench_sites_first(enum bench_placement placement, uint32_t count)
{
    uint64_t end =
        (uint64_t)(placement == BENCH_QUADWORD ? bench_sites_quadword_end : bench_sites_across_end);

    return end - (uint64_t)count * BENCH_SITE_STRIDE;
}
