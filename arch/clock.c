// SPDX-License-Identifier: MIT
/* Time from the TSC; see clock.h. Invariant: clock_scale is written at boot, before other CPUs
 * start. */

#include "arch/clock.h"

#include "arch/clock_floor.h"
#include "arch/clock_sources.h"
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/paravirt.h"
#include "kernel/log.h"
#include "patching/static_call.h"

#define NS_PER_SECOND 1000000000ull
#define DEFAULT_HZ    NS_PER_SECOND
/* Above any TSC: times before calibration are too small, but never go back. */
#define HZ_BOUND (8 * NS_PER_SECOND)

struct clock_scale clock_scale = {HZ_BOUND, (NS_PER_SECOND << 32) / HZ_BOUND, 0};

static uint64_t native_start_ticks; /* native_clock_read() counts from here */

static const char *source_name = "none";
static uint64_t wall_start_ns; /* time of day when clock_now_ns() was 0 */

/* On a line of its own: all CPUs compare with it. */
static _Alignas(64) uint64_t newest_ticks;
static _Alignas(64) uint64_t worst_step_back;

/* LFENCE; RDTSC: on any CPU. */
static uint64_t clock_read_lfence(void)
{
    return read_tsc();
}

/* One instruction that waits for those before it by itself. */
static uint64_t clock_read_rdtscp(void)
{
    return read_tscp();
}

static const char *rdtscp_obstacle(void)
{
    return feature_present(FEATURE_RDTSCP) ? NULL : "this CPU has no RDTSCP";
}

DEFINE_STATIC_CALL(clock_read, clock_read_lfence);
STATIC_CALL_CHOICE(clock_read, clock_read_lfence);
STATIC_CALL_CHOICE_UNLESS(clock_read, clock_read_rdtscp, rdtscp_obstacle);

void clock_start(void)
{
    clock_scale.start_ticks = read_tsc();
    native_start_ticks = clock_scale.start_ticks;
}

void clock_continue_from(uint64_t ns)
{
    native_start_ticks = read_tsc() - clock_ns_to_ticks(ns);
}

void clock_initialize(void)
{
    uint64_t hz = clock_source_measure(&source_name);

    if (hz == 0) {
        log_error("clock: no source to calibrate the TSC; assuming 1 GHz, times are wrong");
        hz = DEFAULT_HZ;
    }
    clock_scale.tsc_hz = hz;
    clock_scale.ns_per_tick_shifted = (NS_PER_SECOND << 32) / hz;
    if (rdtscp_obstacle() == NULL) {
        struct patch_error error = {0};

        if (static_call_update(clock_read, clock_read_rdtscp, &error) != PATCH_OK) {
            log_warning("clock: stays with LFENCE and RDTSC: %s", patch_status_text(error.status));
        }
    }
    wall_start_ns = rtc_read_seconds() * NS_PER_SECOND - clock_now_ns();
}

uint64_t native_clock_read(void)
{
    return clock_floor_apply(clock_ticks_to_ns(static_call(clock_read)() - native_start_ticks));
}

uint64_t clock_now_ns(void)
{
    return pv_clock_read();
}

uint64_t clock_tsc_hz(void)
{
    return clock_scale.tsc_hz;
}

const char *clock_source_name(void)
{
    return source_name;
}

uint64_t clock_wall_ns(void)
{
    return wall_start_ns + clock_now_ns();
}

void clock_delay_ns(uint64_t ns)
{
    uint64_t start = clock_now_ns();

    while (clock_now_ns() - start < ns) {
        cpu_relax();
    }
}

/* Lock-free maximum. Relaxed: only the value counts. */
static void raise_to(uint64_t *maximum, uint64_t value)
{
    uint64_t old = __atomic_load_n(maximum, __ATOMIC_RELAXED);

    while (old < value && !__atomic_compare_exchange_n(maximum, &old, value, false,
                                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

void clock_compare_sample(unsigned samples)
{
    while (samples-- != 0) {
        /* Read before the TSC (LFENCE in read_tsc()), so that agreeing clocks never step back. */
        uint64_t newest = __atomic_load_n(&newest_ticks, __ATOMIC_ACQUIRE);
        uint64_t now = read_tsc();

        if (now < newest) {
            raise_to(&worst_step_back, newest - now);
        }
        raise_to(&newest_ticks, now);
    }
}

uint64_t clock_compare_worst_ticks(void)
{
    return __atomic_load_n(&worst_step_back, __ATOMIC_RELAXED);
}
