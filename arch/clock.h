// SPDX-License-Identifier: MIT
/* Time from the TSC. Invariant: calibrated once at boot from the first source that works (CPUID
 * 15h, CPUID 16h, hypervisor leaf, HPET, PIT); clock_now_ns() is lock-free and valid in any
 * context. Used by all. */
#pragma once

#include <stdint.h>

/* Set by clock_initialize(); before it, times are too small but never go back. */
struct clock_scale {
    uint64_t tsc_hz;
    uint64_t ns_per_tick_shifted; /* nanoseconds a tick, 32 fraction bits */
    uint64_t start_ticks;         /* the kernel's first C line */
};
extern struct clock_scale clock_scale;

/* Lets native time be @ns now, and go on from there: another source was in use, and ran at another
 * speed. Context: op clock_read has another way, and nobody is inside the native one. */
void clock_continue_from(uint64_t ns);

/* Time zero; boot_main() only. */
void clock_start(void);

/* Context: after acpi_initialize() (HPET). Takes about 10 ms unless CPUID tells. */
void clock_initialize(void);

static inline uint64_t clock_ticks_to_ns(uint64_t ticks)
{
    return (uint64_t)(((unsigned __int128)ticks * clock_scale.ns_per_tick_shifted) >> 32);
}

/* When it was @ticks of the TSC, in nanoseconds since the kernel's first C line: for records.
 * Unlike clock_now_ns() it knows no other source than the TSC, so that a record keeps its time
 * whatever clock there is by now; a log line beside it may differ by what two sources do. */
static inline uint64_t clock_ticks_to_time_ns(uint64_t ticks)
{
    return clock_ticks_to_ns(ticks - clock_scale.start_ticks);
}

/* Saturates beyond about 500 years; no 128-bit division. */
static inline uint64_t clock_ns_to_ticks(uint64_t ns)
{
    uint64_t hz = clock_scale.tsc_hz;

    return ns / 1000000000u * hz + ns % 1000000000u * (hz / 1000) / 1000000;
}

/* Nanoseconds since the kernel's first C line. */
uint64_t clock_now_ns(void);

uint64_t clock_tsc_hz(void);

/* "cpuid15", "cpuid16", "hypervisor", "hpet", "pit" or "none" (1 GHz assumed, logged). */
const char *clock_source_name(void);

/* Nanoseconds since 1970-01-01 UTC: CMOS clock read once at boot, plus the TSC. */
uint64_t clock_wall_ns(void);

/* Spins with PAUSE. Boot and device set-up only. */
void clock_delay_ns(uint64_t ns);

/* TSC comparison: every sample must not lie before the newest sample of any CPU. Each CPU samples
 * while it starts; run on all CPUs at once (cross call) for a sharper figure. Lock-free, any
 * context. */
void clock_compare_sample(unsigned samples);

/* Worst backward step seen so far, in ticks; 0 means no disagreement seen. */
uint64_t clock_compare_worst_ticks(void);
