// SPDX-License-Identifier: MIT
/* Keys with a known number of sites, and functions that run through all of them. Invariant: a call
 * passes each site of its key exactly once, taken or skipped. Callers: tests/kernel, and
 * whoever flips them in the shell. `bench poke` has sites of its own: bench_sites.h. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "patching/static_key.h"

#define BENCH_SKIPPED_ONE 1u
#define BENCH_TAKEN_ONE   (1u << 16)

struct bench_key {
    struct static_key *key;
    uint32_t sites;
    /* Runs through all sites. Returns taken << 16 | skipped; the two add up to `sites`. */
    uint32_t (*run)(void);
};

extern const struct bench_key bench_keys[];
extern const size_t bench_key_count;

/* Returns the bench key with that many sites, or NULL. */
const struct bench_key *bench_key_find(uint32_t sites);

static inline uint32_t bench_taken(uint32_t result)
{
    return result >> 16;
}

static inline uint32_t bench_skipped(uint32_t result)
{
    return result & 0xffff;
}
