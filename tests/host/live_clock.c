// SPDX-License-Identifier: MIT
/* See live_clock.h. */
#include "tests/host/live_clock.h"

#include "patching/platform.h"

#include <time.h>

enum {
    CALIBRATION_NS = 20000000,
    PAIR_TRIES = 16,
};

#define NS_PER_S      1000000000ull
#define FRACTION_BITS 32

static uint64_t hz;
static uint64_t ns_per_tick; /* fixed point */

struct pair {
    uint64_t ticks, ns;
};

static uint64_t monotonic_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC_RAW, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* Both clocks at nearly the same instant: the narrowest of several tries, in case one is preempted.
 */
static struct pair pair_take(void)
{
    struct pair best = {0};
    uint64_t narrowest = UINT64_MAX;

    for (unsigned try = 0; try < PAIR_TRIES; try++) {
        uint64_t before = platform_time_ticks();
        uint64_t ns = monotonic_ns();
        uint64_t width = platform_time_ticks() - before;

        if (width < narrowest) {
            narrowest = width;
            best = (struct pair){before + width / 2, ns};
        }
    }
    return best;
}

void live_clock_calibrate(void)
{
    const struct timespec pause = {.tv_nsec = CALIBRATION_NS};
    struct pair start = pair_take();

    nanosleep(&pause, NULL);

    struct pair end = pair_take();
    uint64_t ticks = end.ticks - start.ticks;
    uint64_t ns = end.ns - start.ns;

    hz = (uint64_t)((__uint128_t)ticks * NS_PER_S / ns);
    ns_per_tick = (uint64_t)(((__uint128_t)ns << FRACTION_BITS) / ticks);
}

uint64_t live_clock_hz(void)
{
    return hz;
}

double live_clock_ns(double ticks)
{
    return ticks * (double)NS_PER_S / (double)hz;
}

uint64_t platform_ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)((__uint128_t)ticks * ns_per_tick >> FRACTION_BITS);
}
