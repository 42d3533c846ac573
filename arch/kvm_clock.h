// SPDX-License-Identifier: MIT
/* KVM's clock: the host writes into each CPU's memory how to turn its TSC into time, and does so
 * anew whenever that changes. Invariant: what kvm_clock_read() returns never goes back while it is
 * the source; it goes on from kvm_clock_continue_from(). Source: Linux,
 * Documentation/virt/kvm/x86, "KVM-specific MSRs". Caller: kernel/paravirt_kvm.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* As the host writes it. */
struct pvclock {
    uint32_t version; /* odd: being written */
    uint32_t padding;
    uint64_t tsc;        /* at the time of writing */
    uint64_t ns;         /* of the host's clock, then */
    uint32_t multiplier; /* of ticks that are shifted: ns, 32 fraction bits */
    int8_t shift;        /* of ticks to the left; below 0: to the right */
    uint8_t flags;
    uint8_t padding_behind[2];
};
_Static_assert(sizeof(struct pvclock) == 32, "struct pvclock_vcpu_time_info");

#define PVCLOCK_CPUS_AGREE 1u /* of flags */

/* The time when the TSC was @tsc. No value of a field makes it undefined; a TSC from before the
 * writing counts as that of the writing. Pure. */
static inline uint64_t pvclock_ns(const struct pvclock *clock, uint64_t tsc)
{
    unsigned __int128 ticks = tsc > clock->tsc ? tsc - clock->tsc : 0;

    if (clock->shift >= 0) {
        ticks <<= clock->shift & 63;
    } else {
        ticks >>= -(int)clock->shift & 63;
    }
    return clock->ns + (uint64_t)((uint64_t)ticks * (unsigned __int128)clock->multiplier >> 32);
}

/* Lets the host write this CPU's clock, or stops it. Context: any; kvm_has(KVM_CLOCK). */
void kvm_clock_start(void);
void kvm_clock_stop(void);

/* Whether the host has written the clock of CPU @cpu. */
bool kvm_clock_is_written(unsigned cpu);

/* From now on it is @ns. Context: nobody reads the clock; it is started and written on all CPUs. */
void kvm_clock_continue_from(uint64_t ns);

/* The way of op clock_read. */
uint64_t kvm_clock_read(void);
