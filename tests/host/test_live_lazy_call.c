// SPDX-License-Identifier: MIT
/* First callers race on the real CPU: three threads run through 64 sites of one lazy call all the
 * time, a worker patches what they report, and again and again the call gets another target or
 * forgets its sites. Detects a call that goes neither to the old nor to the new target, one that
 * begins behind an update and goes to the old:
 *
 *     updater                                 caller
 *     epoch odd                               before = epoch (acquire)
 *     update, returns                         runs through all sites
 *     target = new; epoch even (release)      after = epoch (acquire)
 *                                             before == after, even: all went to that target
 *
 * a site that is never found although it is called, and, under the sanitizers, races in reports and
 * tables. Could miss windows of a few instructions: those of one CPU with itself are stepped
 * through in test_lazy_call.c. */
#include "patching/lazy_call.h"

#include "patching/platform.h"
#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <time.h>
#include <unistd.h>

enum {
    CALLERS = 3,
    WORKER_CPU = CALLERS,
    UPDATER_CPU,
    SITES = 64,
    ROUNDS = 100,
    UPDATES = 8, /* a round */
    OLD_ONE = 1,
    NEW_ONE = 1 << 16,
    CONVERGENCE_S = 30,
};

static const char *why_not;
static sem_t work;
static unsigned stop;                           /* atomic */
static uint64_t epoch;                          /* atomic: odd while the target changes */
static unsigned target_one = OLD_ONE;           /* atomic; written while epoch is odd */
static uint64_t runs, settled_runs;             /* atomic */
static uint64_t wrong, stale, failures, passes; /* atomic */

__attribute__((noinline)) static unsigned count_old(unsigned sum)
{
    return sum + OLD_ONE;
}

__attribute__((noinline)) static unsigned count_new(unsigned sum)
{
    return sum + NEW_ONE;
}

DEFINE_LAZY_CALL(contested, count_old);

#define CALL  sum = lazy_call(contested)(sum);
#define FOUR  CALL CALL CALL CALL
#define EIGHT FOUR FOUR

/* 64 sites. */
__attribute__((noinline)) static unsigned run_all(void)
{
    unsigned sum = 0;

    EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT EIGHT __asm__ volatile("" : "+r"(sum));
    return sum;
}

static void add(uint64_t *counter, uint64_t amount)
{
    __atomic_fetch_add(counter, amount, __ATOMIC_RELAXED); /* read behind a join, or alone */
}

static void run_and_check(void)
{
    /* Acquire, both: pair with target_change(). */
    uint64_t before = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);
    unsigned one = __atomic_load_n(&target_one, __ATOMIC_RELAXED);
    unsigned sum = run_all();
    uint64_t after = __atomic_load_n(&epoch, __ATOMIC_ACQUIRE);

    add(&runs, 1);
    add(&wrong, sum % NEW_ONE + sum / NEW_ONE != SITES);
    if (before == after && before % 2 == 0) {
        add(&settled_runs, 1);
        add(&stale, sum != SITES * one);
    }
}

static void *call_all_the_time(void *argument)
{
    live_enter_cpu((unsigned)(uintptr_t)argument);
    while (!__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        run_and_check();
    }
    live_leave_cpu();
    return NULL;
}

static bool request_work(void)
{
    return sem_post(&work) == 0; /* async-signal-safe */
}

static void *patch_what_is_reported(void *argument)
{
    (void)argument;
    live_enter_cpu(WORKER_CPU);
    while (sem_wait(&work) == 0 && !__atomic_load_n(&stop, __ATOMIC_ACQUIRE)) {
        struct lazy_pass pass;

        add(&failures, lazy_calls_patch_reported(&pass, NULL) != PATCH_OK);
        add(&passes, 1);
    }
    live_leave_cpu();
    return NULL;
}

/* Acquire and release: nothing of the update moves out. */
static void target_change(unsigned one)
{
    __atomic_fetch_add(&epoch, 1, __ATOMIC_ACQ_REL);
    add(&failures,
        lazy_call_update(contested, one == OLD_ONE ? count_old : count_new, NULL) != PATCH_OK);
    __atomic_store_n(&target_one, one, __ATOMIC_RELAXED);
    __atomic_fetch_add(&epoch, 1, __ATOMIC_RELEASE);
}

static uint32_t patched(void)
{
    struct lazy_call_statistics statistics;

    lazy_call_statistics(&lazy_call_data_contested, &statistics);
    return statistics.patched;
}

static bool converges(void)
{
    time_t end = time(NULL) + CONVERGENCE_S;

    while (patched() < SITES && time(NULL) <= end) {
        sched_yield();
    }
    return patched() == SITES;
}

/* Every site unknown; updates while they are found; then all of them must be. */
static void round_run(unsigned round)
{
    add(&failures, lazy_call_forget(&lazy_call_data_contested, NULL) != PATCH_OK);
    for (unsigned i = 0; i < UPDATES; i++) {
        target_change((round + i) % 2 == 0 ? NEW_ONE : OLD_ONE);
        if (i % 3 == 0) {
            usleep(50);
        }
    }
    add(&failures, !converges());
}

static void racing_first_callers_all_converge_and_none_goes_to_a_target_of_the_past(void **state)
{
    pthread_t threads[CALLERS + 1];

    (void)state;
    if (why_not != NULL) {
        print_message("SKIP: %s\n", why_not);
        skip();
    }
    for (uintptr_t i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_all_the_time, (void *)i), 0);
    }
    assert_int_equal(pthread_create(&threads[CALLERS], NULL, patch_what_is_reported, NULL), 0);
    live_enter_cpu(UPDATER_CPU);
    for (unsigned round = 0; round < ROUNDS; round++) {
        round_run(round);
    }
    assert_int_equal(run_all(), SITES * target_one);
    live_leave_cpu();
    __atomic_store_n(&stop, 1, __ATOMIC_RELEASE);
    sem_post(&work);
    for (unsigned i = 0; i <= CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    print_message("# %lu runs, %lu settled; %lu passes, %lu batches\n", runs, settled_runs, passes,
                  patch_record_newest());
    assert_int_equal(failures, 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(stale, 0);
    assert_true(settled_runs > 0);
    assert_true(passes >= ROUNDS);
}

static int group_setup(void **state)
{
    (void)state;
    why_not = live_initialize();
    live_set_worker(request_work);
    return sem_init(&work, 0, 0) != 0 || lazy_call_initialize(NULL) != PATCH_OK;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(racing_first_callers_all_converge_and_none_goes_to_a_target_of_the_past),
};

HOST_TEST_MAIN(tests, group_setup)
