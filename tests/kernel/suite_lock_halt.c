// SPDX-License-Identifier: MIT
/* Halting for a lock (kernel/lock_halt.h), on CPUs that halt on a word in memory (fake_halt.h). A
 * wake-up that is lost shows as a CPU that is served and not kicked: at once where a wait is
 * stepped through, within seconds elsewhere. Would miss: a barrier that the host orders by itself.
 */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/interrupts.h"
#include "arch/single_step.h"
#include "kernel/lock_halt.h"
#include "kernel/paravirt_backends.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "patching/platform.h"
#include "tests/kernel/fake_halt.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define CROWD_NS       2000000000ull
#define RELEASES       250 /* instructions of a wait, its first halt included */
#define FEW_SPINS      2u
#define SLOW_WAKE_UP   200000u
#define PATIENCE_NS    20000000000ull
#define POLL_NS        1000000ull
#define STAYS_AWAKE_NS 5000000ull

static const struct paravirt_backend *backend_before;

static bool is_alone(struct test *test)
{
    if (cpu_count() < 2) {
        test_skip(test, "needs a second CPU");
        return true;
    }
    return false;
}

/* Lets locks halt, and soon. Returns false if that failed. */
static bool halting_begin(struct test *test)
{
    struct paravirt_refusal refusal;

    backend_before = paravirt_backend_of(PARAVIRT_lock_slow);
    if (!EXPECT(test, paravirt_backend_add(&fake_halt_backend))) {
        return false;
    }
    if (!EXPECT(test, paravirt_switch_op("lock", &fake_halt_backend, &refusal))) {
        EXPECT(test, paravirt_backend_remove(&fake_halt_backend));
        return false;
    }
    __atomic_store_n(&lock_halt_spins, FEW_SPINS, __ATOMIC_RELAXED);
    return true;
}

static void halting_end(struct test *test, uint64_t lost_before)
{
    struct paravirt_refusal refusal;

    __atomic_store_n(&lock_halt_spins, LOCK_HALT_SPINS, __ATOMIC_RELAXED);
    fake_halt_set_wake_spins(0);
    EXPECT(test, paravirt_switch_op("lock", backend_before, &refusal));
    EXPECT(test, paravirt_backend_remove(&fake_halt_backend));
    EXPECT_EQUAL(test, fake_halt_lost(NULL), lost_before);
    fake_halt_print_lost(lost_before);
}

static struct lock_halt_counts counts_of_all(void)
{
    struct lock_halt_counts sum = {0, 0};

    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        struct lock_halt_counts counts = lock_halt_counts(cpu);

        sum.halts += counts.halts;
        sum.kicks += counts.kicks;
    }
    return sum;
}

/* ---- one instruction at a time ---- */

static struct stepped {
    struct spinlock lock;
    uint32_t ticket; /* that is waited for */
    unsigned steps;
    unsigned release_at; /* behind that many */
    bool is_lost;        /* halted, served and not kicked */
    bool has_halted;
} stepped;

/* A release happens between two instructions, whole; so who is served here has been kicked, or
 * never will be. The kick is looked for behind the ticket: the release may come between the two. */
static void stepped_halt(void)
{
    bool is_served;

    stepped.has_halted = true;
    do {
        is_served = __atomic_load_n(&stepped.lock.serving, __ATOMIC_ACQUIRE) == stepped.ticket;
        if (fake_halt_take_kick()) {
            return;
        }
        cpu_relax();
    } while (!is_served);
    stepped.is_lost = true;
}

static void stepped_wait(uint64_t unused)
{
    (void)unused;
    lock_halt_wait(&stepped.lock, stepped.ticket, stepped_halt);
}

static void stepped_release(uint64_t address, uint64_t next, void *context)
{
    (void)address;
    (void)next;
    (void)context;
    if (++stepped.steps == stepped.release_at) {
        spinlock_unlock(&stepped.lock);
    }
}

/* Ticket 0 owns the lock; this CPU waits for ticket 1, and releases the lock behind a given number
 * of instructions of that. */
static void wait_stepped(unsigned release_at)
{
    uint64_t flags;

    stepped = (struct stepped){.lock = SPINLOCK("test stepped"), .release_at = release_at};
    stepped.lock.next = 2;
    stepped.ticket = 1;
    fake_halt_take_kick(); /* one that nobody needed */
    platform_lock();
    flags = interrupts_save();
    single_step_run(stepped_wait, 0, stepped_release, NULL);
    interrupts_restore(flags);
    platform_unlock();
}

/* Makes every race between a wait and a release: the release comes behind each instruction from the
 * first look at the ticket until deep inside the halt. Would miss what two CPUs see in different
 * order. */
static void release_behind_any_instruction_ends_the_wait(struct test *test)
{
    uint64_t lost_before = fake_halt_lost(NULL);
    unsigned halted = 0;
    unsigned lost = 0;

    if (!halting_begin(test)) {
        return;
    }
    for (unsigned release_at = 1; release_at <= RELEASES; release_at++) {
        wait_stepped(release_at);
        halted += stepped.has_halted;
        lost += stepped.is_lost;
    }
    EXPECT_EQUAL(test, lost, 0);
    EXPECT(test, halted != 0 && halted != RELEASES); /* both sides of the last look were tried */
    EXPECT_EQUAL(test, stepped.lock.halted, 0);
    halting_end(test, lost_before);
}

/* ---- everybody at one lock ---- */

static struct crowd {
    struct spinlock lock;
    uint64_t value;  /* under lock */
    bool is_inside;  /* under lock: somebody is */
    uint64_t rounds; /* finished by all; atomic */
    uint64_t clashes;
    uint64_t lost_before;
    uint64_t end_ns;
} crowd;

/* Holds the lock for a time that differs from round to round, so that it is released at every point
 * of the others' way into their halt. */
static void crowd_enter(unsigned round)
{
    uint64_t flags = spinlock_lock_save(&crowd.lock);
    uint64_t value = crowd.value;

    crowd.clashes += crowd.is_inside;
    crowd.is_inside = true;
    for (unsigned pause = 0; pause < round % 37; pause++) {
        cpu_relax();
    }
    crowd.value = value + 1;
    crowd.is_inside = false;
    spinlock_unlock_restore(&crowd.lock, flags);
}

static void crowd_work(void *argument)
{
    (void)argument;
    for (unsigned round = 0;
         clock_now_ns() < crowd.end_ns && fake_halt_lost(NULL) == crowd.lost_before; round++) {
        crowd_enter(round + cpu_index());
        __atomic_fetch_add(&crowd.rounds, 1, __ATOMIC_RELAXED);
    }
}

static void crowd_run(struct test *test)
{
    struct lock_halt_counts before = counts_of_all();
    struct workers workers;

    crowd = (struct crowd){.lock = SPINLOCK("test crowd"),
                           .lost_before = fake_halt_lost(NULL),
                           .end_ns = clock_now_ns() + CROWD_NS};
    if (EXPECT(test, workers_start(&workers, true, crowd_work, NULL))) {
        workers_join(&workers);
        EXPECT_EQUAL(test, crowd.value, crowd.rounds);
        EXPECT_EQUAL(test, crowd.clashes, 0);
        EXPECT_EQUAL(test, crowd.lock.halted, 0);
        EXPECT(test, counts_of_all().halts > before.halts);
        EXPECT(test, counts_of_all().kicks > before.kicks);
    }
}

/* Load and store of a value lose an addition as soon as two CPUs are inside. */
static void contended_lock_admits_one_and_wakes_all(struct test *test)
{
    uint64_t lost_before = fake_halt_lost(NULL);

    if (is_alone(test) || !halting_begin(test)) {
        return;
    }
    crowd_run(test);
    halting_end(test, lost_before);
}

/* The same by HLT and hypercall, where there is a host for them; a wake-up that is lost would stop
 * the machine. */
static void contended_lock_admits_one_under_kvm(struct test *test)
{
    const struct paravirt_backend *kvm = paravirt_backend_find("kvm");
    const struct paravirt_backend *before = paravirt_backend_of(PARAVIRT_lock_slow);
    const char *obstacle = paravirt_backend_tied_obstacle(kvm, PARAVIRT_lock_slow, NULL);
    struct paravirt_refusal refusal;

    if (obstacle != NULL) {
        test_skip(test, obstacle);
        return;
    }
    if (is_alone(test) || !EXPECT(test, paravirt_switch_op("lock", kvm, &refusal))) {
        return;
    }
    __atomic_store_n(&lock_halt_spins, FEW_SPINS, __ATOMIC_RELAXED);
    crowd_run(test);
    __atomic_store_n(&lock_halt_spins, LOCK_HALT_SPINS, __ATOMIC_RELAXED);
    EXPECT(test, paravirt_switch_op("lock", before, &refusal));
}

/* ---- one who waits ---- */

static struct waiter {
    struct spinlock lock;
    uint32_t cpu;
    bool interrupts_on;
    uint32_t has_passed; /* atomic */
} waiter;

static void waiter_run(void *argument)
{
    uint64_t flags;

    (void)argument;
    if (waiter.interrupts_on) {
        preempt_disable();
        spinlock_lock_interruptible(&waiter.lock);
        spinlock_unlock(&waiter.lock);
        preempt_enable();
    } else {
        flags = spinlock_lock_save(&waiter.lock);
        spinlock_unlock_restore(&waiter.lock, flags);
    }
    __atomic_store_n(&waiter.has_passed, 1, __ATOMIC_RELEASE);
}

/* Takes the lock here, and lets another CPU wait for it. */
static struct thread *waiter_start(struct test *test, bool interrupts_on)
{
    struct thread *thread;

    waiter = (struct waiter){.lock = SPINLOCK("test waiter"), .interrupts_on = interrupts_on};
    while (waiter.cpu == cpu_index() || !cpu_index_is_online(waiter.cpu)) {
        waiter.cpu++;
    }
    waiter.lock.next = 1; /* taken; by nobody, for this thread will sleep meanwhile */
    thread = thread_create("test waiter", waiter.cpu, waiter_run, NULL);
    if (!EXPECT(test, thread != NULL)) {
        spinlock_unlock(&waiter.lock);
    }
    return thread;
}

static void waiter_release(struct thread *thread)
{
    spinlock_unlock(&waiter.lock);
    thread_join(thread);
}

/* Waits until *@value is not @old. */
static bool grows(uint64_t (*value)(void), uint64_t old)
{
    uint64_t deadline_ns = clock_now_ns() + test_patience_ns(PATIENCE_NS);

    while (value() == old && clock_now_ns() < deadline_ns) {
        thread_sleep_ns(POLL_NS);
    }
    return value() != old;
}

static uint64_t asleep(void)
{
    return fake_halt_asleep();
}

static uint64_t waiter_halts(void)
{
    return lock_halt_counts(waiter.cpu).halts;
}

static uint64_t waiter_has_drawn(void)
{
    return __atomic_load_n(&waiter.lock.next, __ATOMIC_RELAXED) - 1;
}

/* The halt takes long to end, so that whoever does not wait for it is seen. */
static void forbidding_leaves_nobody_halted(struct test *test)
{
    uint64_t lost_before = fake_halt_lost(NULL);
    struct thread *thread;
    uint64_t halts;

    if (is_alone(test) || !halting_begin(test)) {
        return;
    }
    fake_halt_set_wake_spins(SLOW_WAKE_UP);
    thread = waiter_start(test, false);
    if (thread != NULL) {
        EXPECT(test, grows(asleep, 0));
        platform_change_lock();
        EXPECT(test, lock_halt_forbid());
        EXPECT_EQUAL(test, fake_halt_asleep(), 0);
        halts = waiter_halts();
        thread_sleep_ns(STAYS_AWAKE_NS);
        EXPECT_EQUAL(test, waiter_halts(), halts);
        EXPECT_EQUAL(test, waiter.has_passed, 0);
        lock_halt_allow();
        platform_change_unlock();
        EXPECT(test, grows(waiter_halts, halts));
        waiter_release(thread);
        EXPECT_EQUAL(test, waiter.has_passed, 1);
    }
    halting_end(test, lost_before);
}

static uint64_t waiter_is_announced(void)
{
    return __atomic_load_n(&waiter.lock.halted, __ATOMIC_RELAXED);
}

/* Looks until the waiter's lock is found. Returns how many looks that took. Other locks may come
 * and go between two. */
static unsigned waiter_looks(struct lock_halt_watch *watch)
{
    unsigned looks = 1;

    while (lock_halt_look(watch) != &waiter.lock && looks < 10 * LOCK_HALT_LOOKS) {
        thread_sleep_ns(POLL_NS);
        looks++;
    }
    return looks;
}

/* The looks of this case are its own: none is the worker's, which would end the machine. */
static void lock_that_nobody_releases_is_found(struct test *test)
{
    static struct lock_halt_watch watch;
    uint64_t lost_before = fake_halt_lost(NULL);
    struct thread *thread;
    unsigned looks;

    if (is_alone(test) || !halting_begin(test)) {
        return;
    }
    watch = (struct lock_halt_watch){0};
    thread = waiter_start(test, false);
    if (thread != NULL) {
        EXPECT(test, grows(waiter_is_announced, 0));
        looks = waiter_looks(&watch);
        EXPECT(test, looks >= LOCK_HALT_LOOKS && looks < 10 * LOCK_HALT_LOOKS);
        waiter_release(thread);
        EXPECT(test, lock_halt_look(&watch) != &waiter.lock);
    }
    halting_end(test, lost_before);
}

/* A handler could come between announcement and halt, and use up the kick. */
static void waiter_with_interrupts_on_spins(struct test *test)
{
    uint64_t lost_before = fake_halt_lost(NULL);
    struct thread *thread;

    if (is_alone(test) || !halting_begin(test)) {
        return;
    }
    thread = waiter_start(test, true);
    if (thread != NULL) {
        EXPECT(test, grows(waiter_has_drawn, 0));
        thread_sleep_ns(STAYS_AWAKE_NS);
        EXPECT_EQUAL(test, __atomic_load_n(&waiter.lock.halted, __ATOMIC_SEQ_CST), 0);
        waiter_release(thread);
        EXPECT_EQUAL(test, waiter.has_passed, 1);
    }
    halting_end(test, lost_before);
}

static const struct test_case cases[] = {
    TEST_CASE(release_behind_any_instruction_ends_the_wait),
    TEST_CASE(contended_lock_admits_one_and_wakes_all),
    TEST_CASE(contended_lock_admits_one_under_kvm),
    TEST_CASE(forbidding_leaves_nobody_halted),
    TEST_CASE(lock_that_nobody_releases_is_found),
    TEST_CASE(waiter_with_interrupts_on_spins),
};

const struct test_suite suite_lock_halt = TEST_SUITE("lock_halt", cases);
