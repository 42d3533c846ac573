// SPDX-License-Identifier: MIT
/* Between locks that spin and locks that halt: nobody may halt while some CPU's unlock does not
 * kick. Why it detects: batches are held at each step while CPUs contend for a lock, which
 * halts at once where it may; and an unlock of the old kind is kept half done until somebody waits
 * for that lock in the new way. What is lost then is reported by fake_halt.h. Could miss: what
 * takes less than a hold. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/percpu.h"
#include "kernel/lock_halt.h"
#include "kernel/patch_hold.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "patching/paravirt_thunk.h"
#include "tests/kernel/fake_halt.h"
#include "tests/kernel/paravirt_set.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define FEW_SPINS     2u
#define SWITCHES      4
#define CONTENDERS    4 /* CPUs, from the first on: more would wait for the host's time slices */
#define HOLD_TURNS    3 /* of each CPU at the lock, while a step is held */
#define HOLD_LIMIT_NS 20000000000ull
#define REST_NS       50000ull
#define HALF_DONE_NS  50000000ull
#define HALF_LIMIT_NS 8000000000ull
#define ARRIVAL_NS    1000000ull

static bool is_alone(struct test *test)
{
    if (cpu_count() < 2) {
        test_skip(test, "needs a second CPU to wait for");
        return true;
    }
    return false;
}

static bool halting_begin(struct test *test)
{
    __atomic_store_n(&lock_halt_spins, FEW_SPINS, __ATOMIC_RELAXED);
    return EXPECT(test, paravirt_backend_add(&fake_halt_backend));
}

static void halting_end(struct test *test, uint64_t lost_before)
{
    __atomic_store_n(&lock_halt_spins, LOCK_HALT_SPINS, __ATOMIC_RELAXED);
    paravirt_set_native(test);
    EXPECT(test, paravirt_backend_remove(&fake_halt_backend));
    fake_halt_print_lost(lost_before);
    EXPECT_EQUAL(test, fake_halt_lost(NULL), lost_before);
}

/* ---- nobody halts in a batch ---- */

static struct crowd {
    struct workers workers;
    struct spinlock lock;
    uint64_t turns[CPU_MAX]; /* atomic */
    uint64_t halts;          /* at the first step of the batch */
    unsigned holds, late, halted;
} crowd;

static uint64_t halts_count(void)
{
    uint64_t halts = 0;

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        halts += lock_halt_counts(cpu).halts;
    }
    return halts;
}

static void contend(void *argument)
{
    (void)argument;
    while (cpu_index() < CONTENDERS && !workers_should_stop(&crowd.workers)) {
        uint64_t flags = spinlock_lock_save(&crowd.lock);

        for (unsigned i = 0; i < 64; i++) {
            cpu_relax();
        }
        spinlock_unlock_restore(&crowd.lock, flags);
        if (__atomic_fetch_add(&crowd.turns[cpu_index()], 1, __ATOMIC_RELAXED) % 8 == 7) {
            thread_sleep_ns(REST_NS);
        }
    }
}

/* Waits until CPU @cpu has taken the lock some times more. */
static void turns_await(unsigned cpu, uint64_t before, uint64_t deadline)
{
    while (__atomic_load_n(&crowd.turns[cpu], __ATOMIC_RELAXED) < before + HOLD_TURNS) {
        if (clock_now_ns() > deadline) {
            crowd.late++;
            return;
        }
        thread_yield();
        cpu_relax();
    }
}

static void look_at_halts(enum patch_step step, enum patch_moment moment, void *argument)
{
    static uint64_t before[CPU_MAX]; /* one patcher at a time */
    uint64_t deadline = clock_now_ns() + HOLD_LIMIT_NS;

    (void)step;
    (void)moment;
    (void)argument;
    if (crowd.holds++ == 0) {
        crowd.halts = halts_count();
        crowd.halted += fake_halt_asleep();
    }
    for (unsigned cpu = 0; cpu < CPU_MAX; cpu++) {
        before[cpu] = __atomic_load_n(&crowd.turns[cpu], __ATOMIC_RELAXED);
    }
    for (unsigned cpu = 0; cpu < cpu_present_count() && cpu < CONTENDERS; cpu++) {
        if (cpu_index_is_online(cpu) && cpu != cpu_index()) {
            turns_await(cpu, before[cpu], deadline);
        }
    }
    crowd.halted += halts_count() != crowd.halts;
}

static void switch_held(struct test *test, const struct paravirt_backend *backend)
{
    crowd.holds = 0;
    patch_hold_set(look_at_halts, NULL);
    paravirt_set_op(test, "lock", backend);
    patch_hold_set(NULL, NULL);
    EXPECT_EQUAL(test, crowd.holds, 6);
}

/* Both ways. Mutants: halting-allowed-before-the-batch, halting-not-forbidden-before-leaving. */
static void nobody_halts_while_locks_are_switched(struct test *test)
{
    uint64_t lost_before = fake_halt_lost(NULL);

    if (is_alone(test) || !halting_begin(test)) {
        return;
    }
    crowd = (struct crowd){.lock = SPINLOCK("test crowd")};
    if (EXPECT(test, workers_start(&crowd.workers, false, contend, NULL))) {
        for (unsigned i = 0; i < SWITCHES && !test_should_stop(test); i++) {
            switch_held(test, &fake_halt_backend);
            switch_held(test, paravirt_backend_find("native"));
        }
        workers_join(&crowd.workers);
        EXPECT_EQUAL(test, crowd.halted, 0);
        EXPECT_EQUAL(test, crowd.late, 0);
    }
    halting_end(test, lost_before);
}

/* ---- an unlock that is half done ---- */

static struct half {
    struct workers workers;
    struct spinlock lock;
    uint32_t holder, waiter;    /* CPUs */
    bool is_inside, is_awaited; /* atomic */
    uint32_t taken;             /* under the lock */
} half;

static bool flag_read(const bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

/* An unlock that does not kick. Of the test's lock: stays before its store until somebody has
 * waited for a while, or for good. */
void paravirt_half_unlock(struct spinlock *lock);
__attribute__((used)) void paravirt_half_unlock(struct spinlock *lock)
{
    uint64_t end_ns = clock_now_ns() + HALF_LIMIT_NS;

    if (lock == &half.lock && !flag_read(&half.is_inside)) {
        __atomic_store_n(&half.is_inside, true, __ATOMIC_RELEASE);
        while (!flag_read(&half.is_awaited) && clock_now_ns() < end_ns) {
            cpu_relax();
        }
        end_ns = clock_now_ns() + HALF_DONE_NS;
        while (clock_now_ns() < end_ns) {
            cpu_relax();
        }
    }
    __atomic_fetch_add(&lock->serving, 1, __ATOMIC_RELEASE);
}
PARAVIRT_THUNK(paravirt_half_unlock);

static const struct paravirt_way way_half_slow = {
    .name = "native_lock_slow", .function = (paravirt_function *)native_lock_slow};
static const struct paravirt_way way_half_unlock = {
    .name = "paravirt_half_unlock", .function = paravirt_thunk_paravirt_half_unlock};

static void half_kick(uint32_t cpu)
{
    (void)cpu; /* nobody halts */
}

static const struct paravirt_way way_half_kick = {.name = "half_kick",
                                                  .function = (paravirt_function *)half_kick};

static const struct paravirt_backend half_backend = {
    .name = "test half",
    .summary = "an unlock that takes its time",
    .ways = {[PARAVIRT_lock_slow] = &way_half_slow,
             [PARAVIRT_lock_unlock] = &way_half_unlock,
             [PARAVIRT_lock_kick] = &way_half_kick},
};

static bool lock_slow_is_new(void)
{
    return __atomic_load_n(&paravirt_ops[PARAVIRT_lock_slow].way, __ATOMIC_ACQUIRE) ==
           fake_halt_backend.ways[PARAVIRT_lock_slow];
}

static void hold_half_done(void)
{
    preempt_disable();
    spinlock_lock_interruptible(&half.lock);
    spinlock_unlock(&half.lock); /* of the old kind, for long */
    preempt_enable();
}

static void wait_in_the_new_way(void)
{
    uint64_t flags;

    while (!lock_slow_is_new() && !workers_should_stop(&half.workers)) {
        thread_yield();
    }
    __atomic_store_n(&half.is_awaited, true, __ATOMIC_RELEASE);
    flags = spinlock_lock_save(&half.lock);
    half.taken++;
    spinlock_unlock_restore(&half.lock, flags);
}

static void hold_or_wait(void *argument)
{
    (void)argument;
    if (cpu_index() == half.holder) {
        hold_half_done();
    } else if (cpu_index() == half.waiter) {
        wait_in_the_new_way();
    }
}

static void half_run(struct test *test)
{
    uint64_t end_ns = clock_now_ns() + HALF_LIMIT_NS;

    half = (struct half){.lock = SPINLOCK("test half"), .waiter = cpu_index()};
    do {
        half.holder = (half.holder + 1) % cpu_present_count();
    } while (half.holder == half.waiter || !cpu_index_is_online(half.holder));
    if (!EXPECT(test, workers_start(&half.workers, true, hold_or_wait, NULL))) {
        return;
    }
    while (!flag_read(&half.is_inside) && clock_now_ns() < end_ns) {
        thread_sleep_ns(ARRIVAL_NS);
    }
    EXPECT(test, flag_read(&half.is_inside));
    paravirt_set_op(test, "lock", &fake_halt_backend);
    workers_join(&half.workers);
    EXPECT_EQUAL(test, half.taken, 1);
}

/* The lock is served without a kick behind the batch: who halted for it by then would not wake.
 * Mutant: halting-allowed-without-a-grace-period. */
static void nobody_halts_before_old_unlocks_are_over(struct test *test)
{
    uint64_t lost_before = fake_halt_lost(NULL);

    if (is_alone(test) || !halting_begin(test)) {
        return;
    }
    if (EXPECT(test, paravirt_backend_add(&half_backend))) {
        if (paravirt_set_op(test, "lock", &half_backend)) {
            half_run(test);
        }
        paravirt_set_native(test);
        EXPECT(test, paravirt_backend_remove(&half_backend));
    }
    halting_end(test, lost_before);
}

static const struct test_case cases[] = {
    TEST_CASE(nobody_halts_while_locks_are_switched),
    TEST_CASE(nobody_halts_before_old_unlocks_are_over),
};

const struct test_suite suite_paravirt_halt = TEST_SUITE("paravirt_halt", cases);
