// SPDX-License-Identifier: MIT
/* Lazy calls on the running kernel: sites found on all CPUs, in threads, interrupts and with
 * interrupts off; full slots; updates while sites are found. Why it detects: the calls are those of
 * `bench lazy`, whose run() says how often each target ran, and whose number of sites is known.
 * Each case begins with no site known. Could miss: an interrupt between two given instructions of
 * the stub; tests/host/test_lazy_call.c steps through them all. */
#include "arch/clock.h"
#include "arch/instructions.h"
#include "arch/percpu.h"
#include "bench/bench_lazy.h"
#include "kernel/cross_call.h"
#include "kernel/patch_worker.h"
#include "kernel/spinlock.h"
#include "kernel/thread.h"
#include "patching/lazy_report.h"
#include "patching/record.h"
#include "tests/kernel/test.h"
#include "tests/kernel/workers.h"

#define LIMIT_NS       10000000000ull
#define LIMIT_AGAIN_NS 100000000ull
#define POLL_NS        1000000ull
#define RACE_NS        1000000000ull
#define MOST           256 /* sites */
#define MANY           56
#define OLD_ALL        (MANY * BENCH_LAZY_OLD_ONE)
#define NEW_ALL        (MANY * BENCH_LAZY_NEW_ONE)

static const struct bench_lazy *bench; /* of the running case */
static uint32_t wrong_runs;            /* atomic */

static struct lazy_call_statistics statistics_now(void)
{
    struct lazy_call_statistics statistics;

    lazy_call_statistics(bench->lazy, &statistics);
    return statistics;
}

/* Returns false if the case cannot begin. */
static bool begin(struct test *test, uint32_t sites)
{
    bench = bench_lazy_find(sites);
    wrong_runs = 0;
    return EXPECT(test, bench != NULL) && EXPECT(test, bench_lazy_reset(bench));
}

static void end(struct test *test)
{
    EXPECT(test, bench_lazy_reset(bench));
    EXPECT_EQUAL(test, statistics_now().sites, 0);
}

static void run_once(void *argument)
{
    (void)argument;
    if (bench->run() != bench->sites * BENCH_LAZY_OLD_ONE) {
        __atomic_fetch_add(&wrong_runs, 1, __ATOMIC_RELAXED);
    }
}

/* Calls @run again and again until every site is patched. If that once did not happen, later cases
 * do not wait for it as long. */
static void converge(struct test *test, void (*run)(void))
{
    static uint64_t limit_ns = LIMIT_NS;
    uint64_t limit = clock_now_ns() + limit_ns;

    do {
        run();
        thread_sleep_ns(POLL_NS);
    } while (statistics_now().patched < bench->sites && clock_now_ns() < limit);
    if (!EXPECT_EQUAL(test, statistics_now().patched, bench->sites)) {
        limit_ns = LIMIT_AGAIN_NS;
    }
    EXPECT_EQUAL(test, wrong_runs, 0);
}

/* From now on the stub is not reached. */
static void expect_direct(struct test *test)
{
    uint64_t slow_calls = statistics_now().slow_calls;

    for (unsigned i = 0; i < 100; i++) {
        run_once(NULL);
    }
    on_each_cpu(run_once, NULL);
    EXPECT_EQUAL(test, statistics_now().slow_calls, slow_calls);
    EXPECT_EQUAL(test, wrong_runs, 0);
}

static struct workers workers;

static void run_until_stopped(void *argument)
{
    (void)argument;
    while (!workers_should_stop(&workers)) {
        run_once(NULL);
        thread_yield();
        cpu_relax();
    }
}

static void nothing(void)
{
}

static void racing_first_calls_find_every_site(struct test *test)
{
    if (!begin(test, MOST) ||
        !EXPECT(test, workers_start(&workers, true, run_until_stopped, NULL))) {
        return;
    }
    converge(test, nothing);
    workers_join(&workers);
    EXPECT_EQUAL(test, statistics_now().sites, MOST);
    expect_direct(test);
    end(test);
}

static void run_on_each_cpu(void)
{
    on_each_cpu(run_once, NULL);
}

static void first_calls_in_interrupts_find_every_site(struct test *test)
{
    if (begin(test, MANY)) {
        converge(test, run_on_each_cpu);
        expect_direct(test);
        end(test);
    }
}

static struct spinlock test_lock = SPINLOCK("test lazy call");

static void run_with_a_lock_held(void)
{
    uint64_t flags = spinlock_lock_save(&test_lock); /* interrupts off */

    run_once(NULL);
    spinlock_unlock_restore(&test_lock, flags);
}

static void first_calls_with_interrupts_off_find_every_site(struct test *test)
{
    if (begin(test, MANY)) {
        converge(test, run_with_a_lock_held);
        expect_direct(test);
        end(test);
    }
}

static void run_here(void)
{
    run_once(NULL);
}

/* The worker is kept away while this CPU meets more sites than it has slots. */
static void full_slots_are_counted_and_lose_nothing(struct test *test)
{
    if (!begin(test, MOST)) {
        return;
    }
    patch_worker_hold();
    run_once(NULL);

    struct lazy_call_statistics statistics = statistics_now();

    patch_worker_release();
    EXPECT_EQUAL(test, statistics.slow_calls, MOST);
    EXPECT_EQUAL(test, statistics.reported, LAZY_REPORT_SLOTS);
    EXPECT_EQUAL(test, statistics.overflowed, MOST - LAZY_REPORT_SLOTS);
    EXPECT_EQUAL(test, statistics.sites, 0);
    converge(test, run_here);
    expect_direct(test);
    end(test);
}

static void update_of_a_converged_call_is_one_batch(struct test *test)
{
    struct patch_record record;

    if (!begin(test, MANY)) {
        return;
    }
    converge(test, run_here);
    uint64_t newest = patch_record_newest();

    EXPECT_EQUAL(test, lazy_call_set(bench->lazy, (lazy_call_function *)bench_lazy_new, NULL),
                 PATCH_OK);
    EXPECT_EQUAL(test, patch_record_newest(), newest + 1);
    EXPECT(test, patch_record_get(newest + 1, &record));
    EXPECT_EQUAL(test, record.rounds, 3);
    EXPECT_EQUAL(test, record.ipis, 3 * (cpu_count() - 1));
    EXPECT_EQUAL(test, record.sites, MANY);
    EXPECT_EQUAL(test, bench->run(), NEW_ALL);
    end(test);
}

static void update_of_an_unknown_call_costs_no_round(struct test *test)
{
    if (!begin(test, MANY)) {
        return;
    }
    uint64_t newest = patch_record_newest();

    EXPECT_EQUAL(test, lazy_call_set(bench->lazy, (lazy_call_function *)bench_lazy_new, NULL),
                 PATCH_OK);
    EXPECT_EQUAL(test, patch_record_newest(), newest);
    EXPECT_EQUAL(test, bench->run(), NEW_ALL);
    end(test);
}

/* Updates while sites are found: an even epoch that did not change while a CPU ran through all
 * sites tells which target each call must have reached. */
static uint64_t epoch;      /* atomic */
static uint32_t target_all; /* atomic; written while epoch is odd */
static uint64_t settled;    /* atomic */

static void run_and_check(void *argument)
{
    (void)argument;
    while (!workers_should_stop(&workers)) {
        /* Acquire, both: pair with target_change(). */
        uint64_t before = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);
        uint32_t all = __atomic_load_n(&target_all, __ATOMIC_RELAXED);
        uint32_t sum = bench->run();
        uint64_t after = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);
        bool is_settled = before == after && before % 2 == 0;

        if ((sum >> 16) + (sum & 0xffff) != MANY || (is_settled && sum != all)) {
            __atomic_fetch_add(&wrong_runs, 1, __ATOMIC_RELAXED);
        }
        __atomic_fetch_add(&settled, is_settled, __ATOMIC_RELAXED);
        thread_yield();
        cpu_relax();
    }
}

static void target_change(struct test *test, bool to_new)
{
    lazy_call_function *target = (lazy_call_function *)(to_new ? bench_lazy_new : bench_lazy_old);

    __atomic_fetch_add(&epoch, 1, __ATOMIC_ACQ_REL);
    EXPECT_EQUAL(test, lazy_call_set(bench->lazy, target, NULL), PATCH_OK);
    __atomic_store_n(&target_all, to_new ? NEW_ALL : OLD_ALL, __ATOMIC_RELAXED);
    __atomic_fetch_add(&epoch, 1, __ATOMIC_RELEASE);
}

static void call_that_begins_behind_an_update_goes_to_the_new_target(struct test *test)
{
    uint64_t limit = clock_now_ns() + RACE_NS;

    if (!begin(test, MANY)) {
        return;
    }
    epoch = 0;
    settled = 0;
    target_all = OLD_ALL;
    if (!EXPECT(test, workers_start(&workers, false, run_and_check, NULL))) {
        return;
    }
    for (unsigned i = 1; i <= 20 || clock_now_ns() < limit; i++) {
        target_change(test, i % 2 != 0);
        if (i % 8 == 0) {
            EXPECT_EQUAL(test, lazy_call_forget(bench->lazy, NULL), PATCH_OK);
        }
        thread_sleep_ns(POLL_NS);
    }
    workers_join(&workers);
    EXPECT_EQUAL(test, wrong_runs, 0);
    EXPECT(test, settled > 0 || cpu_count() == 1);
    end(test);
}

static const struct test_case cases[] = {
    TEST_CASE(racing_first_calls_find_every_site),
    TEST_CASE(first_calls_in_interrupts_find_every_site),
    TEST_CASE(first_calls_with_interrupts_off_find_every_site),
    TEST_CASE(full_slots_are_counted_and_lose_nothing),
    TEST_CASE(update_of_a_converged_call_is_one_batch),
    TEST_CASE(update_of_an_unknown_call_costs_no_round),
    TEST_CASE(call_that_begins_behind_an_update_goes_to_the_new_target),
};

const struct test_suite suite_lazy_call = TEST_SUITE("lazy_call", cases);
