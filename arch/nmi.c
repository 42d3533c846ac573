// SPDX-License-Identifier: MIT
/* Backtrace and stop by NMI; see nmi.h. Invariant: .text.nopatch; a request is a word in the
 * target's struct cpu, taken by its handler with one exchange. */

#include "arch/nmi.h"

#include "arch/backtrace.h"
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/ipi_raw.h"
#include "arch/patience.h"

enum nmi_request { REQUEST_NONE, REQUEST_CAPTURE, REQUEST_STOP, REQUEST_STOPPED };

/* clock_now_ns() is a site, which may not stand here. */
static uint64_t tsc_now_ns(void)
{
    return clock_ticks_to_ns(read_tsc());
}

static void snapshot_take(struct cpu_snapshot *snapshot, const struct trap_frame *frame)
{
    snapshot->rip = frame->rip;
    snapshot->rsp = frame->rsp;
    snapshot->rbp = frame->rbp;
    snapshot->rflags = frame->rflags;
    snapshot->frame_count = backtrace_walk(frame->rbp, snapshot->frames, CPU_SNAPSHOT_FRAMES);
    /* Release: pairs with the acquire in nmi_capture_backtrace(); the frames are complete. */
    __atomic_fetch_add(&snapshot->sequence, 1, __ATOMIC_RELEASE);
}

void nmi_handle(struct trap_frame *frame)
{
    struct cpu *cpu = this_cpu();
    uint32_t request = __atomic_exchange_n(&cpu->nmi_request, REQUEST_NONE, __ATOMIC_ACQ_REL);

    cpu->counters.nmis++;
    if (request == REQUEST_NONE) {
        return;
    }
    snapshot_take(&cpu->snapshot, frame);
    if (request == REQUEST_STOP) {
        /* Release: pairs with the acquire in nmi_is_stopped(). */
        __atomic_store_n(&cpu->nmi_request, REQUEST_STOPPED, __ATOMIC_RELEASE);
        for (;;) {
            __asm__ volatile("cli; hlt");
        }
    }
}

bool nmi_capture_backtrace(unsigned index, struct cpu_snapshot *out, uint64_t timeout_ns)
{
    struct cpu *cpu = cpus[index];
    struct patience patience = patience_begin(tsc_now_ns(), timeout_ns);
    uint64_t before;

    if (cpu == this_cpu() || !cpu_is_online(cpu)) {
        return false;
    }
    before = __atomic_load_n(&cpu->snapshot.sequence, __ATOMIC_ACQUIRE);
    /* Never over a request to stop: a panic on another CPU counts on it. */
    uint32_t expected = REQUEST_NONE;

    if (!__atomic_compare_exchange_n(&cpu->nmi_request, &expected, REQUEST_CAPTURE, false,
                                     __ATOMIC_ACQ_REL, __ATOMIC_RELAXED) &&
        expected != REQUEST_CAPTURE) {
        return false;
    }
    apic_raw_send(cpu->apic_id, COMMAND_NMI | COMMAND_ASSERT);
    while (__atomic_load_n(&cpu->snapshot.sequence, __ATOMIC_ACQUIRE) == before) {
        if (patience_spent(&patience, tsc_now_ns()) > timeout_ns) {
            return false;
        }
        cpu_relax();
    }
    *out = cpu->snapshot;
    return true;
}

bool nmi_is_stopped(unsigned index)
{
    return __atomic_load_n(&cpus[index]->nmi_request, __ATOMIC_ACQUIRE) == REQUEST_STOPPED;
}

unsigned nmi_stop_others(uint64_t timeout_ns)
{
    struct patience patience = patience_begin(tsc_now_ns(), timeout_ns);
    unsigned stopped = 0;

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (cpus[i] != this_cpu() && cpu_is_online(cpus[i])) {
            __atomic_store_n(&cpus[i]->nmi_request, REQUEST_STOP, __ATOMIC_RELEASE);
            apic_raw_send(cpus[i]->apic_id, COMMAND_NMI | COMMAND_ASSERT);
        }
    }
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (cpus[i] == this_cpu() || !cpu_is_online(cpus[i])) {
            continue;
        }
        while (!nmi_is_stopped(i) && patience_spent(&patience, tsc_now_ns()) < timeout_ns) {
            cpu_relax();
        }
        stopped += nmi_is_stopped(i);
    }
    return stopped;
}
