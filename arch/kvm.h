// SPDX-License-Identifier: MIT
/* What KVM offers its guests: which of it this machine has, and the mechanism of each. Invariant:
 * nothing is used that CPUID does not offer. Sources: Linux, Documentation/virt/kvm/x86: "KVM CPUID
 * bits", "KVM-specific MSRs", "Linux KVM Hypercall". Caller: kernel/paravirt_kvm.c, which makes a
 * backend of it. The clock: arch/kvm_clock.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Bits of CPUID 4000'0001h, EAX. */
enum kvm_feature {
    KVM_CLOCK = 3,         /* MSRs of the clock */
    KVM_PV_EOI = 6,        /* the end of an interrupt, a bit in memory */
    KVM_PV_UNHALT = 7,     /* a hypercall wakes a CPU out of HLT */
    KVM_SEND_IPI = 11,     /* a hypercall interrupts many CPUs */
    KVM_CLOCK_STABLE = 24, /* the clock says whether all CPUs agree */
};

/* Reads CPUID. Context: boot, once, behind features_initialize(). */
void kvm_initialize(void);

bool kvm_is_host(void);
bool kvm_has(enum kvm_feature feature);

/* Whether the host promises that no CPU ever waits for its turn (hint "realtime"). */
bool kvm_cpus_always_run(void);

/* Whether the host carries out hypercalls: not all do that offer them. Tries it once; so the text
 * must be read-only by now, as the host may want to mend it. Context: thread. */
bool kvm_hypercalls_work(void);

/* For trap_dispatch(): an exception that a hypercall raised. Returns true if it was one: the
 * hypercall has failed, and the frame goes on behind it. */
struct trap_frame;
bool kvm_hypercall_faulted(struct trap_frame *frame);

/* Lets the host mark interrupts that need no write to the APIC, or stops that, on this CPU.
 * Context: any. */
void kvm_eoi_start(void);
void kvm_eoi_stop(void);

/* Ways of ops, to be used only where the feature is there: */

/* eoi, keeps registers. kvm_eoi_native must be the function of the way to fall back on. */
void kvm_eoi(void);
extern void (*kvm_eoi_native)(void);

/* lock_kick, KVM_PV_UNHALT. */
void kvm_lock_kick(uint32_t cpu);

/* Halts this CPU until it is kicked, or an NMI comes; at once if it has been kicked since it last
 * halted. Context: interrupts off. */
void kvm_halt_until_kick(void);

/* send_ipi, broadcast_ipi, KVM_SEND_IPI; what the host does not take goes natively. */
void kvm_send_ipi(uint32_t cpu, uint32_t vector);
void kvm_broadcast_ipi(uint32_t vector);

/* CPUs that one hypercall can interrupt: those with APIC ids from @lowest on. */
enum { KVM_IPI_SPAN = 128 };
struct kvm_ipi_set {
    uint32_t lowest;
    uint64_t bits[KVM_IPI_SPAN / 64];
};

/* Adds a CPU. Returns false if its id does not fit. Pure. */
static inline bool kvm_ipi_set_add(struct kvm_ipi_set *set, uint32_t apic_id)
{
    uint32_t bit = apic_id - set->lowest;

    if (apic_id < set->lowest || bit >= KVM_IPI_SPAN) {
        return false;
    }
    set->bits[bit / 64] |= 1ull << bit % 64;
    return true;
}
