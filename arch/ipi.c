// SPDX-License-Identifier: MIT
/* Counted IPIs and the sync; see ipi.h. Invariant: one sync round is in flight at a time, and a CPU
 * has at most one IPI of each kind on its way (sync: owed_round, others: pending_ipis), so no two
 * sends merge and the counts are exact.
 *
 *   patcher                                  CPU n (entry.asm)
 *   writes text
 *   sync_round = r          (release)
 *   IPI ----------------------------------->  reads sync_round = r   (acquire)
 *                                             sync_acknowledged = r  (release)
 *   sees r from every CPU (acquire) <-------  IRET: fetches nothing older than the text written
 *   next write
 *
 * A round may be given up: some CPU has not answered for longer than the patience. Its IPI is still
 * pending, and another one would merge with it; so that CPU gets none until it has answered:
 *
 *   patcher                                  CPU n, silent since round r
 *   round r given up; owed_round[n] = r
 *   sync_round = r + 1; no IPI to n
 *   waits                                    at last takes the IPI of r, reads sync_round:
 *     sees r + 1: answered                     r + 1: serialises behind all that r + 1 announced
 *     sees r: sends the IPI that it left out   r: it read before r + 1 was opened
 *
 * A late answer does no harm: the numbers only grow, a CPU stores one it has read, and a number is
 * read only after the text it stands for was written. What the patcher must not do is to go on as
 * if a CPU that is silent had serialised: sync_cores_try() says so, patching/three_steps.c decides.
 */

#include "arch/ipi.h"

#include "arch/apic.h"
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/ipi_trace.h"
#include "arch/nmi.h"
#include "arch/patience.h"
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

/* Waiting for others. Started when the first of them keeps the caller waiting: one limit for all.
 */
struct wait {
    const char *what;  /* that is owed */
    uint64_t limit_ns; /* at SILENCE_PANIC_NS the machine stops, below it the wait is given up */
    uint64_t report_ns;
    struct patience patience; /* not begun: nobody had to be waited for yet */
};

/* Number of the newest round; entry.asm reads it. On a cache line of its own: all CPUs do. */
_Alignas(64) uint64_t sync_round;

static struct spinlock sync_lock = SPINLOCK("sync"); /* held with interrupts on, preemption off */
/* under sync_lock: */
static uint64_t
    owed_round[CPU_MAX]; /* the IPI of that round, given up, is pending there; 0: none */
static unsigned owing;   /* CPUs with an owed round */

static uint64_t patience_ns = IPI_PATIENCE_NS; /* written at boot, and by tests */

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

/* Logs that CPU @index owes @wait->what, and where it is. */
static __attribute__((noinline)) void report_silence(const struct wait *wait, unsigned index,
                                                     uint64_t waited_ns)
{
    struct cpu_snapshot snapshot;
    char place[SYMBOL_TEXT_MAX];

    log_error("cpu %u: no answer to %s for %llu ms%s", index, wait->what,
              (unsigned long long)(waited_ns / 1000000),
              waited_ns < wait->limit_ns ? "" : ", given up");
    if (!nmi_capture_backtrace(index, &snapshot, BACKTRACE_TIMEOUT_NS)) {
        log_error("cpu %u: no answer to an NMI either", index);
    } else {
        log_error("  at %s", symbol_describe(snapshot.rip, place, sizeof(place)));
        for (uint64_t i = 0; i < snapshot.frame_count; i++) {
            log_error("  from %s", symbol_describe(snapshot.frames[i], place, sizeof(place)));
        }
    }
    if (waited_ns >= SILENCE_PANIC_NS) {
        panic("cpu %u: no answer to %s for %llu s", index, wait->what,
              (unsigned long long)(waited_ns / 1000000000));
    }
}

/* One look at the clock while CPU @index keeps us waiting. Returns false when the limit is over. */
static bool wait_goes_on(struct wait *wait, unsigned index)
{
    uint64_t now_ns = clock_now_ns();

    if (!patience_has_begun(&wait->patience)) {
        wait->report_ns = SILENCE_REPORT_NS < wait->limit_ns ? SILENCE_REPORT_NS : wait->limit_ns;
        wait->patience = patience_begin(now_ns, wait->report_ns);
        return true;
    }
    uint64_t waited_ns = patience_spent(&wait->patience, now_ns);

    if (waited_ns >= wait->report_ns) {
        report_silence(wait, index, waited_ns);
        if (waited_ns >= wait->limit_ns) {
            return false;
        }
        wait->report_ns =
            wait->report_ns < wait->limit_ns / 2 ? 2 * wait->report_ns : wait->limit_ns;
    }
    return true;
}

/* Inlined into each caller, so that the test of an acknowledgement is no indirect call. Most have
 * answered by the time they are asked: no clock is read for them. */
static inline __attribute__((always_inline)) bool wait_one(struct wait *wait, unsigned index,
                                                           bool (*is_done)(unsigned index,
                                                                           void *argument),
                                                           void *argument)
{
    while (!is_done(index, argument)) {
        cpu_relax();
        if (!wait_goes_on(wait, index)) {
            return false; /* even if it has answered meanwhile: the log says "given up" */
        }
    }
    return true;
}

/* Returns false at the first CPU that does not answer in time: @silent. */
static inline __attribute__((always_inline)) bool wait_others(struct wait *wait,
                                                              bool (*is_done)(unsigned index,
                                                                              void *argument),
                                                              void *argument, unsigned *silent)
{
    unsigned self = cpu_index();

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (i != self && cpu_is_online(cpus[i]) && !wait_one(wait, i, is_done, argument)) {
            *silent = i;
            return false;
        }
    }
    return true;
}

void ipi_set_patience_ns(uint64_t limit_ns)
{
    patience_ns = limit_ns < SILENCE_PANIC_NS ? limit_ns : SILENCE_PANIC_NS - 1;
}

uint64_t ipi_patience_ns(void)
{
    return patience_ns;
}

void ipi_wait_acknowledged(const char *what, bool (*is_done)(unsigned index, void *argument),
                           void *argument)
{
    struct wait wait = {.what = what, .limit_ns = SILENCE_PANIC_NS};
    unsigned silent;

    wait_others(&wait, is_done, argument, &silent);
}

bool ipi_wait_acknowledged_patiently(const char *what,
                                     bool (*is_done)(unsigned index, void *argument),
                                     void *argument, unsigned *silent)
{
    struct wait wait = {.what = what, .limit_ns = patience_ns};

    return wait_others(&wait, is_done, argument, silent);
}

/* One round, as its caller sees it. */
struct sync {
    uint64_t round;
    unsigned sent;
    const void *caller; /* for the trace */
};

static uint64_t round_acknowledged(unsigned index)
{
    /* Acquire: pairs with the store in entry.asm: the CPU reads no text from before it. */
    return __atomic_load_n(&cpus[index]->sync_acknowledged, __ATOMIC_ACQUIRE);
}

static void sync_send_locked(struct sync *sync, unsigned index)
{
    if (static_branch_unlikely(&ipi_trace)) {
        ipi_trace_add(index, VECTOR_SYNC_CORE, 1, sync->caller);
    }
    count_sent(IPI_SYNC, 1);
    sync->sent++;
    apic_send_ipi(index, VECTOR_SYNC_CORE);
}

/* Strikes out the debt of CPU @index if the round it has @acknowledged pays it: then its IPI is no
 * longer pending. */
static bool debt_is_paid_locked(unsigned index, uint64_t acknowledged)
{
    if (owed_round[index] == 0 || acknowledged < owed_round[index]) {
        return false;
    }
    owed_round[index] = 0;
    owing--;
    return true;
}

/* Notes who has not answered @round, which is being given up. */
static void debts_note_locked(uint64_t round)
{
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (i != cpu_index() && cpu_is_online(cpus[i]) && owed_round[i] == 0 &&
            round_acknowledged(i) < round) {
            owed_round[i] = round;
            owing++;
        }
    }
}

static bool round_is_acknowledged(unsigned index, void *argument)
{
    struct sync *sync = argument;
    uint64_t acknowledged = round_acknowledged(index); /* one look: an IPI too many would merge */

    if (owing != 0 && debt_is_paid_locked(index, acknowledged) && acknowledged < sync->round) {
        sync_send_locked(sync, index); /* see the second race at the head */
    }
    return acknowledged >= sync->round;
}

/* Takes the sync lock and opens a round. */
static void round_begin_locked(struct sync *sync)
{
    if (!interrupts_enabled()) {
        panic("sync with interrupts off: a CPU that syncs too would wait for ever");
    }
    spinlock_lock_interruptible(&sync_lock);
    for (unsigned i = 0; owing != 0 && i < cpu_present_count(); i++) {
        debt_is_paid_locked(i, round_acknowledged(i));
    }
    /* Sequentially consistent: pairs with cpu_set_online() and sync_join(). Either this CPU sees
     * the new one online and interrupts it, or that one sees the new round. */
    sync->round = __atomic_add_fetch(&sync_round, 1, __ATOMIC_SEQ_CST);
}

/* Sends the IPI of the round to all others but those that have one pending. */
static void round_send_locked(struct sync *sync)
{
    unsigned self = cpu_index();

    if (owing == 0) {
        unsigned others = cpu_count() - 1;

        if (static_branch_unlikely(&ipi_trace)) {
            ipi_trace_add(IPI_TRACE_ALL, VECTOR_SYNC_CORE, others, sync->caller);
        }
        count_sent(IPI_SYNC, others);
        sync->sent = others;
        apic_broadcast_ipi(VECTOR_SYNC_CORE);
        return;
    }
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (i != self && cpu_is_online(cpus[i]) && owed_round[i] == 0) {
            sync_send_locked(sync, i);
        }
    }
}

/* One round with all others, who have until the limit to answer. */
static bool sync_others(struct sync *sync, uint64_t limit_ns, unsigned *silent)
{
    struct wait wait = {.what = "a sync", .limit_ns = limit_ns};
    bool all_answered = true;

    preempt_disable();
    if (cpu_count() > 1) {
        round_begin_locked(sync);
        round_send_locked(sync);
        all_answered = wait_others(&wait, round_is_acknowledged, sync, silent);
        if (!all_answered) {
            debts_note_locked(sync->round);
        }
        spinlock_unlock(&sync_lock);
    }
    serialize_core();
    preempt_enable();
    return all_answered;
}

__attribute__((noinline)) unsigned sync_cores_others(void)
{
    struct sync sync = {.caller = __builtin_return_address(0)};
    unsigned silent;

    sync_others(&sync, SILENCE_PANIC_NS, &silent); /* does not return false: it panics before */
    return sync.sent;
}

__attribute__((noinline)) bool sync_cores_try(unsigned *sent, unsigned *silent)
{
    struct sync sync = {.caller = __builtin_return_address(0)};
    bool all_answered = sync_others(&sync, patience_ns, silent);

    *sent = sync.sent;
    return all_answered;
}

unsigned sync_core_one(unsigned index)
{
    struct sync sync = {.caller = __builtin_return_address(0)};
    struct wait wait = {.what = "a sync", .limit_ns = SILENCE_PANIC_NS};

    preempt_disable();
    round_begin_locked(&sync);
    if (owed_round[index] == 0) {
        sync_send_locked(&sync, index);
    }
    wait_one(&wait, index, round_is_acknowledged, &sync);
    spinlock_unlock(&sync_lock);
    preempt_enable();
    return sync.sent;
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

unsigned ipi_broadcast(unsigned vector)
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
    return count;
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
