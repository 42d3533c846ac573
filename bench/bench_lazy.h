// SPDX-License-Identifier: MIT
/* Lazy calls with a known number of sites, each beside a static call with as many: what is found
 * while it runs against what the linker lists. Invariant: run() passes each site exactly once; all
 * targets count, so the sum says how many went where. Between uses no site is found and the targets
 * are the old ones: bench_lazy_reset(). Callers: `bench lazy`, tests/kernel/suite_lazy_call.c. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "patching/lazy_call.h"
#include "patching/static_call.h"

#define BENCH_LAZY_OLD_ONE 1u
#define BENCH_LAZY_NEW_ONE (1u << 16)

struct bench_lazy {
    uint32_t sites;
    struct lazy_call *lazy;
    uint32_t (*run)(void); /* through all sites of `lazy` */
    struct static_call *eager;
    uint32_t (*run_eager)(void);
};

extern const struct bench_lazy bench_lazies[];
extern const size_t bench_lazy_count;

/* The one with that many sites, or NULL. */
const struct bench_lazy *bench_lazy_find(uint32_t sites);

/* The targets: each adds its one to @sum. */
uint32_t bench_lazy_old(uint32_t sum);
uint32_t bench_lazy_new(uint32_t sum);

/* Has everything patched that was reported, makes the call go to bench_lazy_old(), and forgets its
 * sites. Context: thread; nobody else runs through the sites, the worker is not held. Returns false
 * if a batch fails. */
bool bench_lazy_reset(const struct bench_lazy *bench);

/* The same for the static call. */
bool bench_lazy_reset_eager(const struct bench_lazy *bench);
