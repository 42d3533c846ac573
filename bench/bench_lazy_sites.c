// SPDX-License-Identifier: MIT
/* The calls of `bench lazy`; see bench_lazy.h. Invariant: each use of a call below is one call
 * instruction of 5 bytes: not inlined, not merged, not a tail call. Called by: bench_lazy.c,
 * tests/kernel. */
#include "bench/bench_lazy.h"

/* Not inlined, so that a static call of one is not either. */
__attribute__((noinline)) uint32_t bench_lazy_old(uint32_t sum)
{
    return sum + BENCH_LAZY_OLD_ONE;
}

__attribute__((noinline)) uint32_t bench_lazy_new(uint32_t sum)
{
    return sum + BENCH_LAZY_NEW_ONE;
}

#define TIMES_1(x)  x
#define TIMES_8(x)  x x x x x x x x
#define TIMES_32(x) TIMES_8(x) TIMES_8(x) TIMES_8(x) TIMES_8(x)
#define TIMES_56(x) TIMES_32(x) TIMES_8(x) TIMES_8(x) TIMES_8(x)
#define TIMES_256(x)                                                                               \
    TIMES_32(x)                                                                                    \
    TIMES_32(x) TIMES_32(x) TIMES_32(x) TIMES_32(x) TIMES_32(x) TIMES_32(x) TIMES_32(x)

/* The empty asm keeps the last call from being the function's end. */
#define RUN_FUNCTION(name, sites, call)                                                            \
    static __attribute__((noinline)) uint32_t name(void)                                           \
    {                                                                                              \
        uint32_t sum = 0;                                                                          \
                                                                                                   \
        TIMES_##sites(sum = call(sum);) __asm__ volatile("" : "+r"(sum));                          \
        return sum;                                                                                \
    }

#define CALLS(sites)                                                                               \
    DEFINE_LAZY_CALL(bench_lazy_##sites, bench_lazy_old);                                          \
    LAZY_CALL_CHOICE(bench_lazy_##sites, bench_lazy_old);                                          \
    LAZY_CALL_CHOICE(bench_lazy_##sites, bench_lazy_new);                                          \
    DEFINE_STATIC_CALL_FORM(bench_eager_##sites, bench_lazy_old, STATIC_CALL_INLINE);              \
    STATIC_CALL_CHOICE(bench_eager_##sites, bench_lazy_old);                                       \
    STATIC_CALL_CHOICE(bench_eager_##sites, bench_lazy_new);                                       \
    RUN_FUNCTION(run_lazy_##sites, sites, lazy_call(bench_lazy_##sites))                           \
    RUN_FUNCTION(run_eager_##sites, sites, static_call(bench_eager_##sites))

CALLS(1)
CALLS(56)
CALLS(256)

#define ROW(sites)                                                                                 \
    {                                                                                              \
        (sites), &lazy_call_data_bench_lazy_##sites, run_lazy_##sites,                             \
            &static_call_data_bench_eager_##sites, run_eager_##sites                               \
    }

const struct bench_lazy bench_lazies[] = {ROW(1), ROW(56), ROW(256)};
const size_t bench_lazy_count = sizeof(bench_lazies) / sizeof(bench_lazies[0]);

const struct bench_lazy *bench_lazy_find(uint32_t sites)
{
    for (size_t i = 0; i < bench_lazy_count; i++) {
        if (bench_lazies[i].sites == sites) {
            return &bench_lazies[i];
        }
    }
    return NULL;
}

/* Collects before it forgets: a report still in its slot would be patched behind it. */
bool bench_lazy_reset(const struct bench_lazy *bench)
{
    struct lazy_pass pass;

    return lazy_calls_patch_reported(&pass, NULL) == PATCH_OK &&
           lazy_call_forget(bench->lazy, NULL) == PATCH_OK &&
           lazy_call_set(bench->lazy, (lazy_call_function *)bench_lazy_old, NULL) == PATCH_OK;
}

bool bench_lazy_reset_eager(const struct bench_lazy *bench)
{
    return static_call_set(bench->eager, (static_call_function *)bench_lazy_old, NULL) == PATCH_OK;
}
