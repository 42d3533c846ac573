// SPDX-License-Identifier: MIT
/* Halting for a lock; see lock_halt.h. Invariant: a CPU's announcement stands whenever it halts,
 * and lock->halted is the number of CPUs whose announcement names that lock, or more. Called by:
 * backends that halt, through the ops of group "lock"; kernel/paravirt_hazards.c. */
#include "kernel/lock_halt.h"

#include "arch/clock.h"
#include "arch/patience.h"
#include "arch/percpu.h"
#include "kernel/log.h"
#include "kernel/spinlock.h"
#include "patching/paravirt_thunk.h"

#define FORBID_LIMIT_NS 10000000000ull

/* What a CPU is halted for, or about to be; and its counts. */
struct lock_halt_cpu {
    /* written by the CPU itself, read by all: */
    struct spinlock *lock; /* NULL: nothing is announced */
    uint32_t ticket;       /* written before lock */
    uint64_t halts;
    uint64_t kicks;
} __attribute__((aligned(64)));

static struct lock_halt_cpu halt_cpus[CPU_MAX];
static bool is_allowed;

uint32_t lock_halt_spins = LOCK_HALT_SPINS;

/* Halts once, unless there is no reason to, or no longer. */
static void halt_announced(struct spinlock *lock, uint32_t ticket, void (*halt)(void))
{
    struct lock_halt_cpu *own = &halt_cpus[cpu_index()];

    __atomic_store_n(&own->ticket, ticket, __ATOMIC_RELAXED);
    /* Release: who finds the lock finds the ticket. */
    __atomic_store_n(&own->lock, lock, __ATOMIC_RELEASE);
    /* Full barrier; partners: that of lock_halt_unlock(), and that of lock_halt_forbid(). Were the
     * loads below done before the stores above are seen, the owner could serve this ticket without
     * a kick, and this CPU would halt for ever. */
    __atomic_fetch_add(&lock->halted, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&lock->serving, __ATOMIC_SEQ_CST) != ticket &&
        __atomic_load_n(&is_allowed, __ATOMIC_SEQ_CST)) {
        __atomic_fetch_add(&own->halts, 1, __ATOMIC_RELAXED);
        halt();
    }
    __atomic_fetch_sub(&lock->halted, 1, __ATOMIC_RELAXED);
    /* Release; partner: the acquire in is_woken(): who sees it knows that the halt is over. */
    __atomic_store_n(&own->lock, NULL, __ATOMIC_RELEASE);
}

void lock_halt_wait(struct spinlock *lock, uint32_t ticket, void (*halt)(void))
{
    bool may_halt = !interrupts_enabled();
    uint32_t spins_before_halt = __atomic_load_n(&lock_halt_spins, __ATOMIC_RELAXED);
    uint64_t spins = 0;

    /* Acquire: pairs with the increment in the unlock, as in native_lock_slow(). */
    while (__atomic_load_n(&lock->serving, __ATOMIC_ACQUIRE) != ticket) {
        cpu_relax();
        if (++spins == SPINLOCK_SPINS_MAX) {
            spinlock_report_stuck(lock);
        }
        if (may_halt && spins % spins_before_halt == 0 &&
            __atomic_load_n(&is_allowed, __ATOMIC_RELAXED)) {
            halt_announced(lock, ticket, halt);
        }
    }
}

/* The slow side of lock_halt_unlock(): somebody has halted for @lock. If the ticket that was served
 * has been released again by now, its CPU was awake, and the next one is kicked twice. */
void lock_halt_kick_next(struct spinlock *lock)
{
    uint32_t serving = __atomic_load_n(&lock->serving, __ATOMIC_RELAXED);

    for (unsigned i = 0; i < cpu_present_count(); i++) {
        /* Acquire: pairs with the release of the announcement: the ticket is not an older one. */
        if (__atomic_load_n(&halt_cpus[i].lock, __ATOMIC_ACQUIRE) == lock &&
            __atomic_load_n(&halt_cpus[i].ticket, __ATOMIC_RELAXED) == serving) {
            __atomic_fetch_add(&halt_cpus[cpu_index()].kicks, 1, __ATOMIC_RELAXED);
            pv_lock_kick(i);
            return;
        }
    }
}
PARAVIRT_THUNK(lock_halt_kick_next);

/* Two instructions more than the native unlock while nobody halts. LOCK makes the increment a full
 * barrier; partner: that of halt_announced(). Without it the load of `halted` could be done before
 * the store is seen: the waiter misses the ticket, and this CPU the waiter. */
PARAVIRT_ASM_FUNCTION(lock_halt_unlock, "lock incl 12(%rdi)\n\t"
                                        "cmpl $0, 16(%rdi)\n\t"
                                        "jne paravirt_thunk_lock_halt_kick_next\n\t"
                                        "ret\n\t");
_Static_assert(offsetof(struct spinlock, serving) == 12, "lock_halt_unlock");
_Static_assert(offsetof(struct spinlock, halted) == 16, "lock_halt_unlock");

static bool is_woken(unsigned cpu)
{
    return __atomic_load_n(&halt_cpus[cpu].lock, __ATOMIC_ACQUIRE) == NULL;
}

static void report_asleep(unsigned cpu)
{
    const struct spinlock *lock = __atomic_load_n(&halt_cpus[cpu].lock, __ATOMIC_ACQUIRE);

    log_error("cpu %u: halted for spinlock '%s', and a kick does not wake it", cpu,
              lock == NULL ? "(woken by now)" : lock->name);
}

/* Wakes @cpu and waits until it no longer halts: it will not again, for that is forbidden. */
static bool wake_for_good(unsigned cpu)
{
    struct patience patience = patience_begin(clock_now_ns(), FORBID_LIMIT_NS);

    if (!is_woken(cpu)) {
        pv_lock_kick(cpu);
    }
    while (!is_woken(cpu)) {
        cpu_relax();
        if (patience_spent(&patience, clock_now_ns()) > FORBID_LIMIT_NS) {
            report_asleep(cpu);
            return false;
        }
    }
    return true;
}

bool lock_halt_forbid(void)
{
    bool was_allowed = __atomic_exchange_n(&is_allowed, false, __ATOMIC_SEQ_CST);

    /* The exchange is a full barrier; partner: that of halt_announced(). Without it an announcement
     * could be missed here, and `allowed` there. */
    for (unsigned i = 0; i < cpu_present_count(); i++) {
        if (!wake_for_good(i)) {
            __atomic_store_n(&is_allowed, was_allowed, __ATOMIC_SEQ_CST);
            return false;
        }
    }
    return true;
}

void lock_halt_allow(void)
{
    __atomic_store_n(&is_allowed, true, __ATOMIC_SEQ_CST);
}

/* Whether CPU @cpu has waited without change for long enough. A CPU that was woken in between may
 * own the lock by now, or have let it go: the lock's memory can be read all the same (spinlock.h).
 * One that is between two halts has announced nothing: that look says neither yes nor no. */
static bool cpu_is_stuck(struct lock_halt_watch *watch, unsigned cpu)
{
    /* Acquire: the ticket is not one of an earlier announcement. */
    const struct spinlock *lock = __atomic_load_n(&halt_cpus[cpu].lock, __ATOMIC_ACQUIRE);
    uint32_t ticket = __atomic_load_n(&halt_cpus[cpu].ticket, __ATOMIC_RELAXED);
    uint32_t serving;

    if (lock == NULL) {
        return false;
    }
    serving = __atomic_load_n(&lock->serving, __ATOMIC_RELAXED);
    if (serving == ticket || lock != watch->cpus[cpu].lock || ticket != watch->cpus[cpu].ticket ||
        serving != watch->cpus[cpu].serving) {
        watch->cpus[cpu].lock = lock;
        watch->cpus[cpu].ticket = ticket;
        watch->cpus[cpu].serving = serving;
        watch->cpus[cpu].looks = 0;
    }
    return ++watch->cpus[cpu].looks >= LOCK_HALT_LOOKS;
}

const struct spinlock *lock_halt_look(struct lock_halt_watch *watch)
{
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        if (cpu_is_stuck(watch, cpu)) {
            return watch->cpus[cpu].lock;
        }
    }
    return NULL;
}

struct lock_halt_counts lock_halt_counts(unsigned cpu)
{
    struct lock_halt_counts counts = {
        .halts = __atomic_load_n(&halt_cpus[cpu].halts, __ATOMIC_RELAXED),
        .kicks = __atomic_load_n(&halt_cpus[cpu].kicks, __ATOMIC_RELAXED),
    };

    return counts;
}
