// SPDX-License-Identifier: MIT
/* KVM's offers; see kvm.h. Invariant: an IPI is sent once, by hypercall or natively.
 *
 * End of interrupt. When the host injects an interrupt that no one else waits for, it may set a bit
 * in this CPU's memory: then clearing it ends the interrupt, and the write to the APIC, which exits
 * to the host, is saved. A write to the APIC is right all the same, whatever the bit says: "always
 * safe for the guest to ignore the optimization" ("KVM-specific MSRs", MSR_KVM_EOI_EN). For at each
 * exit, and so before it carries out that write, the host looks at the bit and takes it back: found
 * set, the interrupt is still in service, and the write ends it; found clear, the interrupt has
 * ended. So the two may be mixed on one CPU and for one interrupt:
 *
 *     came under        ended under
 *     kvm, bit set      native: the write exits, the host takes the bit back, ends the interrupt
 *     kvm, bit clear    kvm: the bit is found clear, the write is made
 *     native            kvm: the bit was never set, the write is made
 *
 * That is why the sync's entry (entry.asm), in .text.nopatch, goes on writing the APIC, and why the
 * op's sites need not change at once. The MSR is set before the first site shows kvm_eoi, and
 * cleared when nobody is inside it. Test and clearing are one instruction: an exit between the two
 * could take the bit back and have the write done for an interrupt that has ended. */
#include "arch/kvm.h"

#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/ipi_raw.h"
#include "arch/paging.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "arch/trap_frame.h"
#include "kernel/string.h"
#include "patching/paravirt_thunk.h"

#define CPUID_HYPERVISOR_FIRST 0x40000000u
#define CPUID_HYPERVISOR_END   0x40010000u
#define CPUID_HYPERVISOR_STEP  0x100u
#define HINT_REALTIME          (1u << 0) /* of EDX */

#define MSR_KVM_EOI           0x4b564d04u
#define MSR_KVM_ENABLE        1ull
#define KVM_HC_VAPIC_POLL_IRQ 1 /* makes the host look for interrupts: changes nothing */
#define KVM_HC_KICK_CPU       5
#define KVM_HC_SEND_IPI       10
#define HYPERCALL_LENGTH      3u
#define HYPERCALL_FAULTED     INT64_MIN
#define VECTOR_LOWEST         16u /* of fixed interrupts */
#define NO_APIC_ID            UINT64_MAX

static struct cpuid_result features; /* all 0: no KVM */
static bool is_host;
bool kvm_uses_vmmcall; /* read by kvm_hypercall() */

/* The leaf with KVM's signature; another hypervisor's interface may stand in front. 0: none. */
static uint32_t signature_leaf(void)
{
    for (uint32_t leaf = CPUID_HYPERVISOR_FIRST; leaf < CPUID_HYPERVISOR_END;
         leaf += CPUID_HYPERVISOR_STEP) {
        struct cpuid_result result;

        cpuid(leaf, 0, &result);
        if (memcmp(&result.ebx, "KVMK", 4) == 0 && memcmp(&result.ecx, "VMKV", 4) == 0 &&
            memcmp(&result.edx, "M\0\0\0", 4) == 0) {
            return leaf;
        }
    }
    return 0;
}

void kvm_initialize(void)
{
    uint32_t leaf = feature_present(FEATURE_HYPERVISOR) ? signature_leaf() : 0;

    if (leaf == 0) {
        return;
    }
    is_host = true;
    cpuid(leaf + 1, 0, &features);
    kvm_uses_vmmcall =
        strcmp(cpu_vendor(), "AuthenticAMD") == 0 || strcmp(cpu_vendor(), "HygonGenuine") == 0;
}

bool kvm_is_host(void)
{
    return is_host;
}

bool kvm_has(enum kvm_feature feature)
{
    return (features.eax >> feature & 1) != 0;
}

bool kvm_cpus_always_run(void)
{
    return (features.edx & HINT_REALTIME) != 0;
}

/* ---- hypercalls ---- */

/* Returns what the host answers; negative: refused. Changes no other register ("Linux KVM
 * Hypercall"): number in rax, arguments in rbx, rcx, rdx, rsi. The fence: an exit does not promise
 * that earlier stores are seen, and who is woken or interrupted must see them. */
int64_t kvm_hypercall(uint64_t number, uint64_t first, uint64_t second, uint64_t third,
                      uint64_t fourth);
extern const uint8_t kvm_vmcall[], kvm_vmmcall[];
__asm__(".pushsection .text\n\t"
        ".balign 16, 0xcc\n\t"
        ".type kvm_hypercall, @function\n"
        "kvm_hypercall:\n\t"
        "push %rbx\n\t"
        "mov %rdi, %rax\n\t"
        "mov %rsi, %rbx\n\t"
        "xchg %rcx, %rdx\n\t"
        "mov %r8, %rsi\n\t"
        "mfence\n\t"
        "cmpb $0, kvm_uses_vmmcall(%rip)\n\t"
        "jne kvm_vmmcall\n"
        "kvm_vmcall:\n\t"
        "vmcall\n\t"
        "pop %rbx\n\t"
        "ret\n"
        "kvm_vmmcall:\n\t"
        "vmmcall\n\t"
        "pop %rbx\n\t"
        "ret\n\t"
        ".size kvm_hypercall, . - kvm_hypercall\n\t"
        ".popsection");

/* A host that does not know the instruction answers with a fault; one that wants the other
 * instruction may try to write it over this one, which is text. */
bool kvm_hypercall_faulted(struct trap_frame *frame)
{
    if (frame->rip != (uint64_t)kvm_vmcall && frame->rip != (uint64_t)kvm_vmmcall) {
        return false;
    }
    frame->rax = (uint64_t)HYPERCALL_FAULTED;
    frame->rip += HYPERCALL_LENGTH;
    return true;
}

/* The processor's own instruction first, then the other one. */
bool kvm_hypercalls_work(void)
{
    static enum { UNKNOWN, WORK, FAULT } known;

    for (unsigned tries = 0; known == UNKNOWN && tries < 2; tries++) {
        if (kvm_hypercall(KVM_HC_VAPIC_POLL_IRQ, 0, 0, 0, 0) != HYPERCALL_FAULTED) {
            known = WORK;
        } else {
            kvm_uses_vmmcall = !kvm_uses_vmmcall;
        }
    }
    known = known == WORK ? WORK : FAULT;
    return known == WORK;
}

/* ---- end of interrupt ---- */

void (*kvm_eoi_native)(void);

void kvm_eoi_start(void)
{
    struct cpu *cpu = this_cpu();

    cpu->kvm_end_of_interrupt = 0;
    write_msr(MSR_KVM_EOI, virtual_to_physical(&cpu->kvm_end_of_interrupt) | MSR_KVM_ENABLE);
}

void kvm_eoi_stop(void)
{
    write_msr(MSR_KVM_EOI, 0);
}

#define TEXT_OF(number)  TEXT_OF_(number)
#define TEXT_OF_(number) #number
PARAVIRT_ASM_FUNCTION(kvm_eoi,
                      "btrl $0, %gs:" TEXT_OF(CPU_KVM_EOI_OFFSET) "\n\t"
                                                                  "jc 1f\n\t"
                                                                  "jmp *kvm_eoi_native(%rip)\n"
                                                                  "1:\tret\n\t");

/* ---- locks ---- */

void kvm_lock_kick(uint32_t cpu)
{
    kvm_hypercall(KVM_HC_KICK_CPU, 0, cpus[cpu]->apic_id, 0, 0);
}

void kvm_halt_until_kick(void)
{
    __asm__ volatile("hlt" ::: "memory");
}

/* ---- interrupts between CPUs ---- */

/* Interrupts the CPUs of @set. Returns false, and none is interrupted, if the host refuses. */
static bool kvm_ipi_set_send(const struct kvm_ipi_set *set, uint32_t vector)
{
    return vector >= VECTOR_LOWEST &&
           kvm_hypercall(KVM_HC_SEND_IPI, set->bits[0], set->bits[1], set->lowest, vector) >= 0;
}

void kvm_send_ipi(uint32_t cpu, uint32_t vector)
{
    struct kvm_ipi_set set = {.lowest = cpus[cpu]->apic_id, .bits = {1}};

    if (!kvm_ipi_set_send(&set, vector)) {
        native_send_ipi(cpu, vector);
    }
}

static bool is_target(unsigned cpu)
{
    return cpu != cpu_index() && cpu_is_online(cpus[cpu]);
}

/* The lowest APIC id of a target that is at least @from, or NO_APIC_ID. */
static uint64_t lowest_target_id(uint64_t from)
{
    uint64_t lowest = NO_APIC_ID;

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (is_target(i) && cpus[i]->apic_id >= from && cpus[i]->apic_id < lowest) {
            lowest = cpus[i]->apic_id;
        }
    }
    return lowest;
}

/* Sends to all targets whose ids begin at @lowest. */
static void kvm_broadcast_piece(uint32_t lowest, uint32_t vector)
{
    struct kvm_ipi_set set = {.lowest = lowest};
    struct kvm_ipi_set unused = {.lowest = lowest};

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (is_target(i)) {
            kvm_ipi_set_add(&set, cpus[i]->apic_id);
        }
    }
    if (kvm_ipi_set_send(&set, vector)) {
        return;
    }
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (is_target(i) && kvm_ipi_set_add(&unused, cpus[i]->apic_id)) {
            native_send_ipi(i, vector);
        }
    }
}

void kvm_broadcast_ipi(uint32_t vector)
{
    uint64_t lowest = lowest_target_id(0);

    while (lowest != NO_APIC_ID) {
        kvm_broadcast_piece((uint32_t)lowest, vector);
        lowest = lowest_target_id(lowest + KVM_IPI_SPAN);
    }
}
