// SPDX-License-Identifier: MIT
/* Backend `kvm`: for each op what the host offers, if CPUID says so. Invariant: a CPU's MSRs are
 * set while any site may lead to the way that needs them. Called by: kernel/paravirt_hazards.c. */
#include "kernel/paravirt_backends.h"

#include "arch/clock.h"
#include "arch/kvm.h"
#include "arch/kvm_clock.h"
#include "arch/percpu.h"
#include "kernel/cross_call.h"
#include "kernel/lock_halt.h"
#include "kernel/spinlock.h"

static void kvm_lock_slow(struct spinlock *lock, uint32_t ticket)
{
    lock_halt_wait(lock, ticket, kvm_halt_until_kick);
}

#define KVM_WAY(op, way_function)                                                                  \
    static const struct paravirt_way way_##op = {.name = #way_function,                            \
                                                 .function = (paravirt_function *)(way_function)}
KVM_WAY(clock_read, kvm_clock_read);
KVM_WAY(eoi, kvm_eoi);
KVM_WAY(lock_slow, kvm_lock_slow);
KVM_WAY(lock_unlock, lock_halt_unlock);
KVM_WAY(lock_kick, kvm_lock_kick);
KVM_WAY(send_ipi, kvm_send_ipi);
KVM_WAY(broadcast_ipi, kvm_broadcast_ipi);

/* What each op needs. */
static const struct {
    enum kvm_feature feature;
    bool takes_hypercall;
    const char *missing;
} needs[PARAVIRT_OP_COUNT] = {
    [PARAVIRT_clock_read] = {KVM_CLOCK, false, "CPUID offers no clock (KVM bit 3)"},
    [PARAVIRT_eoi] = {KVM_PV_EOI, false, "CPUID offers no end of interrupt (KVM bit 6)"},
    [PARAVIRT_lock_slow] = {KVM_PV_UNHALT, true, "CPUID offers no kick (KVM bit 7)"},
    [PARAVIRT_lock_unlock] = {KVM_PV_UNHALT, true, "CPUID offers no kick (KVM bit 7)"},
    [PARAVIRT_lock_kick] = {KVM_PV_UNHALT, true, "CPUID offers no kick (KVM bit 7)"},
    [PARAVIRT_send_ipi] = {KVM_SEND_IPI, true, "CPUID offers no IPIs (KVM bit 11)"},
    [PARAVIRT_broadcast_ipi] = {KVM_SEND_IPI, true, "CPUID offers no IPIs (KVM bit 11)"},
};

static const char *kvm_obstacle(enum paravirt_op_id op)
{
    if (!kvm_is_host()) {
        return "this machine is no KVM guest";
    }
    if (!kvm_has(needs[op].feature)) {
        return needs[op].missing;
    }
    if (needs[op].feature == KVM_PV_UNHALT && kvm_cpus_always_run()) {
        return "the host promises that all CPUs run (hint realtime): spinning is shorter";
    }
    if (needs[op].takes_hypercall && !kvm_hypercalls_work()) {
        return "the host offers it by CPUID, but does not carry out hypercalls";
    }
    return NULL;
}

static void run_function(void *argument)
{
    (*(void (**)(void))argument)();
}

static void run_on_each_cpu(void (*function)(void))
{
    on_each_cpu(run_function, &function);
}

/* The clock goes on from what it is now; the floor (arch/clock_floor.h) does the rest. */
static const char *clock_enter(void)
{
    run_on_each_cpu(kvm_clock_start);
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (cpu_is_online(cpus[i]) && !kvm_clock_is_written(i)) {
            run_on_each_cpu(kvm_clock_stop);
            return "the host has not written the clock of a CPU";
        }
    }
    kvm_clock_continue_from(clock_now_ns());
    return NULL;
}

static const char *kvm_enter(enum paravirt_op_id op)
{
    if (op == PARAVIRT_clock_read) {
        return clock_enter();
    }
    if (op == PARAVIRT_eoi) {
        kvm_eoi_native = paravirt_native_ways[PARAVIRT_eoi]->function;
        run_on_each_cpu(kvm_eoi_start);
    }
    return NULL;
}

static void kvm_leave(enum paravirt_op_id op)
{
    if (op == PARAVIRT_clock_read) {
        run_on_each_cpu(kvm_clock_stop);
    } else if (op == PARAVIRT_eoi) {
        run_on_each_cpu(kvm_eoi_stop);
    }
}

const struct paravirt_backend paravirt_backend_kvm = {
    .name = "kvm",
    .summary = "what KVM offers its guests, each by its bit in CPUID",
    .ways = {[PARAVIRT_clock_read] = &way_clock_read,
             [PARAVIRT_eoi] = &way_eoi,
             [PARAVIRT_lock_slow] = &way_lock_slow,
             [PARAVIRT_lock_unlock] = &way_lock_unlock,
             [PARAVIRT_lock_kick] = &way_lock_kick,
             [PARAVIRT_send_ipi] = &way_send_ipi,
             [PARAVIRT_broadcast_ipi] = &way_broadcast_ipi},
    .kicks = true,
    .obstacle = kvm_obstacle,
    .enter = kvm_enter,
    .leave = kvm_leave,
};
