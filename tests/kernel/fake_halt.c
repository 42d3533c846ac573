// SPDX-License-Identifier: MIT
/* CPUs that halt on a word in memory; see fake_halt.h. Invariant: halt() takes no lock: it runs
 * inside the taking of one, interrupts off. */
#include "tests/kernel/fake_halt.h"

#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "kernel/console.h"
#include "kernel/lock_halt.h"
#include "kernel/spinlock.h"
#include "tests/kernel/test.h"

/* From the ticket's being served to the kick: more than a crowded host keeps the other CPU away in
 * the middle of its unlock. */
#define LOST_AFTER_NS 10000000000ull
/* Looks between two looks at the clock. */
#define LOOKS 1024

static struct fake_cpu {
    uint32_t latch; /* atomic: a kick that nobody has used up */
    /* by the CPU itself: */
    struct spinlock *lock;
    uint32_t ticket;
} __attribute__((aligned(64))) fake_cpus[CPU_MAX];

static uint64_t lost;       /* atomic */
static uint32_t asleep;     /* atomic */
static uint32_t wake_spins; /* atomic */
static struct fake_halt_report newest;

bool fake_halt_take_kick(void)
{
    struct fake_cpu *own = &fake_cpus[cpu_index()];

    /* Acquire: partner: the kick; what its CPU wrote before, the ticket among it, is seen. */
    return __atomic_load_n(&own->latch, __ATOMIC_RELAXED) != 0 &&
           __atomic_exchange_n(&own->latch, 0, __ATOMIC_ACQUIRE) != 0;
}

static void note_lost(const struct fake_cpu *own)
{
    newest = (struct fake_halt_report){
        .cpu = cpu_index(), .ticket = own->ticket, .lock = own->lock->name};
    /* Release: who reads the number finds the report. */
    __atomic_fetch_add(&lost, 1, __ATOMIC_RELEASE);
}

/* Until a kick, or it has been due for too long. While the ticket is not served there is no limit:
 * the owner is at work. */
static void sleep_until_kick(void)
{
    struct fake_cpu *own = &fake_cpus[cpu_index()];
    uint64_t limit_ns = test_patience_ns(LOST_AFTER_NS);
    uint64_t served_since_ns = 0;

    for (uint64_t looks = 1; !fake_halt_take_kick(); looks++) {
        cpu_relax();
        if (looks % LOOKS != 0 ||
            __atomic_load_n(&own->lock->serving, __ATOMIC_RELAXED) != own->ticket) {
            continue;
        }
        if (served_since_ns == 0) {
            served_since_ns = clock_now_ns();
        } else if (clock_now_ns() - served_since_ns > limit_ns) {
            note_lost(own);
            return;
        }
    }
}

/* HLT of this machine. */
static void fake_halt(void)
{
    uint32_t spins = __atomic_load_n(&wake_spins, __ATOMIC_RELAXED);

    __atomic_fetch_add(&asleep, 1, __ATOMIC_SEQ_CST);
    sleep_until_kick();
    while (spins-- != 0) {
        cpu_relax();
    }
    /* Sequentially consistent: a test that knows this CPU is awake counts it no more. */
    __atomic_fetch_sub(&asleep, 1, __ATOMIC_SEQ_CST);
}

static void fake_lock_slow(struct spinlock *lock, uint32_t ticket)
{
    struct fake_cpu *own = &fake_cpus[cpu_index()];

    if (!interrupts_enabled()) { /* else it does not halt, and a handler may come here, too */
        own->lock = lock;
        own->ticket = ticket;
    }
    lock_halt_wait(lock, ticket, fake_halt);
}

static void fake_lock_kick(uint32_t cpu)
{
    /* Release: partner: fake_halt_take_kick(). */
    __atomic_store_n(&fake_cpus[cpu].latch, 1, __ATOMIC_RELEASE);
}

static const struct paravirt_way way_slow = {.name = "fake_lock_slow",
                                             .function = (paravirt_function *)fake_lock_slow};
static const struct paravirt_way way_unlock = {.name = "lock_halt_unlock",
                                               .function = lock_halt_unlock};
static const struct paravirt_way way_kick = {.name = "fake_lock_kick",
                                             .function = (paravirt_function *)fake_lock_kick};

const struct paravirt_backend fake_halt_backend = {
    .name = "test halt",
    .summary = "CPUs that halt for locks on a word in memory",
    .ways = {[PARAVIRT_lock_slow] = &way_slow,
             [PARAVIRT_lock_unlock] = &way_unlock,
             [PARAVIRT_lock_kick] = &way_kick},
    .kicks = true,
};

uint64_t fake_halt_lost(struct fake_halt_report *report)
{
    uint64_t count = __atomic_load_n(&lost, __ATOMIC_ACQUIRE);

    if (report != NULL && count != 0) {
        *report = newest;
    }
    return count;
}

uint32_t fake_halt_asleep(void)
{
    return __atomic_load_n(&asleep, __ATOMIC_SEQ_CST);
}

void fake_halt_set_wake_spins(uint32_t spins)
{
    __atomic_store_n(&wake_spins, spins, __ATOMIC_RELAXED);
}

void fake_halt_print_lost(uint64_t before)
{
    struct fake_halt_report report;
    uint64_t count = fake_halt_lost(&report);

    if (count > before) {
        console_print("    # %llu wake-ups lost, the newest: cpu %u, spinlock '%s', ticket %u\n",
                      (unsigned long long)(count - before), report.cpu, report.lock, report.ticket);
    }
}
