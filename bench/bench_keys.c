// SPDX-License-Identifier: MIT
/* The bench keys and their sites. The counts are seed 5's (4: netstamp_needed, 56:
 * sched_schedstats), those of the Linux figures to beat (21 is near 16 and 32; 64, 76), and powers
 * of two. All sites have the 5-byte form, so every batch has a tail step. */
#include "bench/bench_keys.h"

/* One site. Both sides count, so a lost or doubled branch shows in the sum. */
#define SITE(key)                                                                                  \
    do {                                                                                           \
        if (static_branch_unlikely_long(&(key))) {                                                 \
            result += BENCH_TAKEN_ONE;                                                             \
        } else {                                                                                   \
            result += BENCH_SKIPPED_ONE;                                                           \
        }                                                                                          \
    } while (0)

#define SITES_1(key) SITE(key)
#define SITES_2(key)                                                                               \
    SITES_1(key);                                                                                  \
    SITES_1(key)
#define SITES_4(key)                                                                               \
    SITES_2(key);                                                                                  \
    SITES_2(key)
#define SITES_8(key)                                                                               \
    SITES_4(key);                                                                                  \
    SITES_4(key)
#define SITES_16(key)                                                                              \
    SITES_8(key);                                                                                  \
    SITES_8(key)
#define SITES_32(key)                                                                              \
    SITES_16(key);                                                                                 \
    SITES_16(key)
#define SITES_56(key)                                                                              \
    SITES_32(key);                                                                                 \
    SITES_16(key);                                                                                 \
    SITES_8(key)
#define SITES_64(key)                                                                              \
    SITES_32(key);                                                                                 \
    SITES_32(key)
#define SITES_76(key)                                                                              \
    SITES_64(key);                                                                                 \
    SITES_8(key);                                                                                  \
    SITES_4(key)
#define SITES_128(key)                                                                             \
    SITES_64(key);                                                                                 \
    SITES_64(key)
#define SITES_256(key)                                                                             \
    SITES_128(key);                                                                                \
    SITES_128(key)

#define BENCH_KEY(n)                                                                               \
    DEFINE_STATIC_KEY_FALSE(bench_##n);                                                            \
    static __attribute__((noinline)) uint32_t bench_run_##n(void)                                  \
    {                                                                                              \
        uint32_t result = 0;                                                                       \
        SITES_##n(bench_##n);                                                                      \
        return result;                                                                             \
    }

BENCH_KEY(1)
BENCH_KEY(2)
BENCH_KEY(4)
BENCH_KEY(8)
BENCH_KEY(16)
BENCH_KEY(32)
BENCH_KEY(56)
BENCH_KEY(64)
BENCH_KEY(76)
BENCH_KEY(128)
BENCH_KEY(256)

#define BENCH_ROW(n)                                                                               \
    {                                                                                              \
        .key = &bench_##n, .sites = (n), .run = bench_run_##n                                      \
    }

const struct bench_key bench_keys[] = {
    BENCH_ROW(1),  BENCH_ROW(2),  BENCH_ROW(4),  BENCH_ROW(8),   BENCH_ROW(16),  BENCH_ROW(32),
    BENCH_ROW(56), BENCH_ROW(64), BENCH_ROW(76), BENCH_ROW(128), BENCH_ROW(256),
};

const size_t bench_key_count = sizeof(bench_keys) / sizeof(bench_keys[0]);

const struct bench_key *bench_key_find(uint32_t sites)
{
    for (size_t i = 0; i < bench_key_count; i++) {
        if (bench_keys[i].sites == sites) {
            return &bench_keys[i];
        }
    }
    return NULL;
}
