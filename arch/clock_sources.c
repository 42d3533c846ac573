// SPDX-License-Identifier: MIT
/* Sources of the TSC's frequency; see clock_sources.h. Invariant: a source that is missing or stuck
 * is passed over; none takes longer than its window of 10 ms or, stuck, 2^32 ticks. */

#include "arch/clock_sources.h"

#include "arch/acpi.h"
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "kernel/log.h"

#include <stddef.h>

#define CPUID_TSC               0x15u
#define CPUID_FREQUENCY         0x16u
#define CPUID_HYPERVISOR        0x40000000u
#define CPUID_HYPERVISOR_TIMING 0x40000010u
#define WINDOWS_PER_SECOND      100u
#define STUCK_TICKS             (1ull << 32)
#define SAMPLE_TRIES            4

#define HPET_PERIOD             (0x04 / 4) /* femtoseconds a tick */
#define HPET_CONFIGURATION      (0x10 / 4)
#define HPET_COUNTER            (0xf0 / 4)
#define HPET_ENABLE             1u
#define HPET_PERIOD_MAX         100000000u
#define FEMTOSECONDS_PER_SECOND 1000000000000000ull

#define PIT_HZ             1193182u
#define PIT_CHANNEL2       0x42
#define PIT_COMMAND        0x43
#define PIT_CHANNEL2_ONCE  0xb0 /* channel 2, both bytes, mode 0 */
#define PIT_CHANNEL2_LATCH 0x80
#define SPEAKER_PORT       0x61 /* bit 0: gate of channel 2; bit 1: speaker */

/* A counter of known frequency. */
struct reference {
    uint32_t (*read)(void); /* counts up, modulo mask + 1 */
    uint32_t mask;
    uint64_t hz;
};

struct sample {
    uint64_t ticks;
    uint32_t count;
};

/* Reads counter and TSC as one: of some tries the one in which the read took least. */
static struct sample sample_take(const struct reference *reference)
{
    struct sample best = {0, 0};
    uint64_t best_gap = UINT64_MAX;

    for (unsigned i = 0; i < SAMPLE_TRIES; i++) {
        uint64_t before = read_tsc();
        uint32_t count = reference->read();
        uint64_t gap = read_tsc() - before;

        if (gap < best_gap) {
            best_gap = gap;
            best = (struct sample){before + gap / 2, count};
        }
    }
    return best;
}

static uint64_t measure_against(const struct reference *reference)
{
    struct sample start = sample_take(reference);
    uint64_t wanted = reference->hz / WINDOWS_PER_SECOND;
    struct sample end;
    uint64_t count;

    while (((reference->read() - start.count) & reference->mask) < wanted) {
        cpu_relax();
        if (read_tsc() - start.ticks > STUCK_TICKS) {
            return 0;
        }
    }
    end = sample_take(reference);
    count = (end.count - start.count) & reference->mask;
    return count < wanted ? 0 : (end.ticks - start.ticks) * reference->hz / count;
}

static uint64_t measure_cpuid15(void)
{
    struct cpuid_result result;

    cpuid(0, 0, &result);
    if (result.eax < CPUID_TSC) {
        return 0;
    }
    cpuid(CPUID_TSC, 0, &result);
    return result.eax == 0 ? 0 : (uint64_t)result.ecx * result.ebx / result.eax;
}

static uint64_t measure_cpuid16(void)
{
    struct cpuid_result result;

    cpuid(0, 0, &result);
    if (result.eax < CPUID_FREQUENCY) {
        return 0;
    }
    cpuid(CPUID_FREQUENCY, 0, &result);
    return (uint64_t)(result.eax & 0xffff) * 1000000;
}

static uint64_t measure_hypervisor(void)
{
    struct cpuid_result result;

    if (!feature_present(FEATURE_HYPERVISOR)) {
        return 0;
    }
    cpuid(CPUID_HYPERVISOR, 0, &result);
    if (result.eax < CPUID_HYPERVISOR_TIMING) {
        return 0;
    }
    cpuid(CPUID_HYPERVISOR_TIMING, 0, &result);
    return (uint64_t)result.eax * 1000;
}

static volatile uint32_t *hpet;

static uint32_t hpet_read(void)
{
    return hpet[HPET_COUNTER];
}

static uint64_t measure_hpet(void)
{
    struct reference reference = {hpet_read, UINT32_MAX, 0};
    uint32_t period;

    if (acpi_facts()->hpet_address == 0) {
        return 0;
    }
    hpet = paging_map_device(acpi_facts()->hpet_address, PAGE_SIZE);
    if (hpet == NULL) {
        return 0;
    }
    period = hpet[HPET_PERIOD];
    if (period == 0 || period > HPET_PERIOD_MAX) {
        return 0;
    }
    hpet[HPET_CONFIGURATION] |= HPET_ENABLE;
    reference.hz = FEMTOSECONDS_PER_SECOND / period;
    return measure_against(&reference);
}

static uint32_t pit_read(void)
{
    uint32_t count;

    out8(PIT_COMMAND, PIT_CHANNEL2_LATCH);
    count = in8(PIT_CHANNEL2);
    count |= (uint32_t)in8(PIT_CHANNEL2) << 8;
    return 0xffff - count;
}

static uint64_t measure_pit(void)
{
    const struct reference reference = {pit_read, 0xffff, PIT_HZ};
    uint8_t speaker = in8(SPEAKER_PORT);
    uint64_t hz;

    log_info("clock: no HPET; measuring the TSC by the PIT");
    out8(SPEAKER_PORT, (speaker & ~2u) | 1u);
    out8(PIT_COMMAND, PIT_CHANNEL2_ONCE);
    out8(PIT_CHANNEL2, 0xff);
    out8(PIT_CHANNEL2, 0xff);
    hz = measure_against(&reference);
    out8(SPEAKER_PORT, speaker);
    return hz;
}

static const struct {
    const char *name;
    uint64_t (*measure)(void); /* Hz, 0: no */
} sources[] = {
    {"cpuid15", measure_cpuid15}, {"cpuid16", measure_cpuid16}, {"hypervisor", measure_hypervisor},
    {"hpet", measure_hpet},       {"pit", measure_pit},
};

uint64_t clock_source_measure(const char **name)
{
    for (size_t i = 0; i < sizeof(sources) / sizeof(sources[0]); i++) {
        uint64_t hz = sources[i].measure();

        if (hz != 0) {
            *name = sources[i].name;
            return hz;
        }
    }
    return 0;
}
