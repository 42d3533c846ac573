// SPDX-License-Identifier: MIT
/* Counted IPIs and the sync; see ipi.h. Invariant: one sync round is in flight at a time, and a CPU
 * has at most one IPI of each other kind on its way (pending_ipis), so no two sends merge and the
 * counts are exact.
 *
 *   patcher                                  CPU n (entry.asm)
 *   writes text
 *   sync_round = r          (release)
 *   IPI ----------------------------------->  reads sync_round = r   (acquire)
 *                                             sync_acknowledged = r  (release)
 *   sees r from every CPU (acquire) <-------  IRET: fetches nothing older than the text written
 *   next write */

#include "arch/ipi.h"

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/ipi_trace.h"
#include "arch/nmi.h"
#include "arch/traps.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "kernel/symbols.h"
#include "kernel/thread.h"

#define SILENCE_REPORT_NS    2000000000ull
#define SILENCE_PANIC_NS     60000000000ull
#define BACKTRACE_TIMEOUT_NS 100000000ull
#define CPU_WORDS            ((CPU_MAX + 63) / 64) /* of a set of CPUs */

/* Number of the newest round; entry.asm reads it. On a cache line of its own: all CPUs do. */
_Alignas(64) uint64_t sync_round;

static struct spinlock sync_lock = SPINLOCK("sync"); /* held with interrupts on, preemption off */

static enum ipi_kind kind_of(unsigned vector)
{
    switch (vector) {
    case VECTOR_CALL:
        return IPI_CALL;
    case VECTOR_STOP:
        return IPI_STOP;
    default:
        return IPI_RESCHEDULE;
    }
}

/* Counts @targets sends of @kind by this CPU. */
static void count_sent(enum ipi_kind kind, unsigned targets)
{
    __atomic_fetch_add(&this_cpu()->counters.ipis_sent[kind], targets, __ATOMIC_RELAXED);
}

/* Logs that CPU @index owes @what, and where it is. */
static __attribute__((noinline)) void report_silence(const char *what, unsigned index,
                                                     uint64_t waited_ns)
{
    struct cpu_snapshot snapshot;
    char place[SYMBOL_TEXT_MAX];

    log_error("cpu %u: no answer to %s for %llu ms", index, what,
              (unsigned long long)(waited_ns / 1000000));
    if (!nmi_capture_backtrace(index, &snapshot, BACKTRACE_TIMEOUT_NS)) {
        log_error("cpu %u: no answer to an NMI either", index);
    } else {
        log_error("  at %s", symbol_describe(snapshot.rip, place, sizeof(place)));
        for (uint64_t i = 0; i < snapshot.frame_count; i++) {
            log_error("  from %s", symbol_describe(snapshot.frames[i], place, sizeof(place)));
        }
    }
    if (waited_ns >= SILENCE_PANIC_NS) {
        panic("cpu %u: no answer to %s for %llu s", index, what,
              (unsigned long long)(waited_ns / 1000000000));
    }
}

/* Inlined into each caller, so that the test of an acknowledgement is no indirect call. */
static inline __attribute__((always_inline)) void wait_one(const char *what, unsigned index,
                                                           bool (*is_done)(unsigned index,
                                                                           void *argument),
                                                           void *argument)
{
    uint64_t report_ns = SILENCE_REPORT_NS;
    uint64_t start;

    if (is_done(index, argument)) {
        return; /* most have answered by the time they are asked: no clock read for them */
    }
    start = clock_now_ns();
    while (!is_done(index, argument)) {
        cpu_relax();
        if (clock_now_ns() - start >= report_ns) {
            report_silence(what, index, clock_now_ns() - start);
            report_ns *= 2;
            report_ns = report_ns < SILENCE_PANIC_NS ? report_ns : SILENCE_PANIC_NS;
        }
    }
}

static inline __attribute__((always_inline)) void wait_others(
    const char *what, bool (*is_done)(unsigned index, void *argument), void *argument)
{
    unsigned self = cpu_index();

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (i != self && cpu_is_online(cpus[i])) {
            wait_one(what, i, is_done, argument);
        }
    }
}

void ipi_wait_acknowledged(const char *what, bool (*is_done)(unsigned index, void *argument),
                           void *argument)
{
    wait_others(what, is_done, argument);
}

static bool round_is_acknowledged(unsigned index, void *argument)
{
    /* Acquire: pairs with the store in entry.asm: the CPU reads no text from before it. */
    return __atomic_load_n(&cpus[index]->sync_acknowledged, __ATOMIC_ACQUIRE) >= (uint64_t)argument;
}

/* Takes the sync lock and opens a round. */
static void *round_begin_locked(void)
{
    if (!interrupts_enabled()) {
        panic("sync with interrupts off: a CPU that syncs too would wait for ever");
    }
    spinlock_lock(&sync_lock);
    /* Sequentially consistent: pairs with cpu_set_online() and sync_join(). Either this CPU sees
     * the new one online and interrupts it, or that one sees the new round. */
    return (void *)__atomic_add_fetch(&sync_round, 1, __ATOMIC_SEQ_CST);
}

unsigned sync_cores_others(void)
{
    unsigned others;

    preempt_disable();
    others = cpu_count() - 1;
    if (others != 0) {
        void *round = round_begin_locked();

        if (static_branch_unlikely(&ipi_trace)) {
            ipi_trace_add(IPI_TRACE_ALL, VECTOR_SYNC_CORE, others, __builtin_return_address(0));
        }
        count_sent(IPI_SYNC, others);
        apic_broadcast_ipi(VECTOR_SYNC_CORE);
        wait_others("a sync", round_is_acknowledged, round);
        spinlock_unlock(&sync_lock);
    }
    serialize_core();
    preempt_enable();
    return others;
}

unsigned sync_core_one(unsigned index)
{
    void *round;

    preempt_disable();
    round = round_begin_locked();
    if (static_branch_unlikely(&ipi_trace)) {
        ipi_trace_add(index, VECTOR_SYNC_CORE, 1, __builtin_return_address(0));
    }
    count_sent(IPI_SYNC, 1);
    apic_send_ipi(index, VECTOR_SYNC_CORE);
    wait_one("a sync", index, round_is_acknowledged, round);
    spinlock_unlock(&sync_lock);
    preempt_enable();
    return 1;
}

void sync_join(void)
{
    uint64_t round = __atomic_load_n(&sync_round, __ATOMIC_SEQ_CST);

    __atomic_store_n(&this_cpu()->sync_acknowledged, round, __ATOMIC_RELEASE);
    serialize_core();
}

/* Marks an IPI of @kind as on its way to @cpu. Returns false if one already is.
 * Ordering: full; pairs with ipi_note_received(): whoever is told "already" has its earlier stores
 * seen by the handler that is yet to start. */
static bool pending_set(struct cpu *cpu, enum ipi_kind kind)
{
    return !(__atomic_fetch_or(&cpu->pending_ipis, 1u << kind, __ATOMIC_SEQ_CST) & 1u << kind);
}

/* Sends to a CPU that pending_set() has just marked, in the same stretch with interrupts off: were
 * this CPU preempted in between, others would rely on an IPI that is not sent yet. */
static void send_marked(unsigned index, unsigned vector, const void *caller)
{
    if (static_branch_unlikely(&ipi_trace)) {
        ipi_trace_add(index, vector, 1, caller);
    }
    count_sent(kind_of(vector), 1);
    apic_send_ipi(index, vector);
}

void ipi_send(unsigned index, unsigned vector)
{
    uint64_t flags = interrupts_save();

    if (pending_set(cpus[index], kind_of(vector))) {
        send_marked(index, vector, __builtin_return_address(0));
    }
    interrupts_restore(flags);
}

/* Marks all other online CPUs. Returns how many there are, and in @marked those that were not yet.
 */
static unsigned mark_others(enum ipi_kind kind, uint64_t marked[CPU_WORDS], unsigned *marked_count)
{
    unsigned self = cpu_index();
    unsigned others = 0;

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (i == self || !cpu_is_online(cpus[i])) {
            continue;
        }
        others++;
        if (pending_set(cpus[i], kind)) {
            marked[i / 64] |= 1ull << i % 64;
            (*marked_count)++;
        }
    }
    return others;
}

void ipi_broadcast(unsigned vector)
{
    uint64_t flags = interrupts_save();
    uint64_t marked[CPU_WORDS] = {0};
    unsigned count = 0;
    unsigned others = mark_others(kind_of(vector), marked, &count);

    if (count != 0 && count == others && others == cpu_present_count() - 1) {
        if (static_branch_unlikely(&ipi_trace)) {
            ipi_trace_add(IPI_TRACE_ALL, vector, count, __builtin_return_address(0));
        }
        count_sent(kind_of(vector), count);
        apic_broadcast_ipi(vector);
    } else {
        for (unsigned i = 0; i < cpu_present_count(); i++) {
            if (marked[i / 64] >> i % 64 & 1) {
                send_marked(i, vector, __builtin_return_address(0));
            }
        }
    }
    interrupts_restore(flags);
}

void ipi_note_received(unsigned vector)
{
    struct cpu *cpu = this_cpu();
    enum ipi_kind kind = kind_of(vector);

    cpu->counters.ipis_received[kind]++;
    __atomic_fetch_and(&cpu->pending_ipis, ~(1u << kind), __ATOMIC_SEQ_CST);
}

static void reschedule_interrupt(struct trap_frame *frame)
{
    (void)frame;
    __atomic_store_n(&this_cpu()->need_reschedule, true, __ATOMIC_RELAXED);
}

void ipi_initialize(void)
{
    trap_register_handler(VECTOR_RESCHEDULE, reschedule_interrupt);
}
