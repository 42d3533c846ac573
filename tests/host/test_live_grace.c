// SPDX-License-Identifier: MIT
/* Grace periods of the live platform: a thread inside is waited for, one that passes checkpoints,
 * has left its CPU or waits itself is not, one that never comes is named and given up. Each shows
 * its fault by an order of events (done before the thread was let out), not by a time: it misses
 * the fault only if the patcher sleeps longer than the thread is kept in. The last one reads
 * versions that are poisoned after a period: it depends on luck. */
#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>
#include <time.h>

enum {
    PATCHER_CPU = 0,
    FIRST_CPU = 1,
    THREADS = 3,
    KEPT_IN_NS = 20000000,
    GIVE_UP_NS = 30000000,
    VERSIONS = 300, /* published, one after the other, in */
    RING = 8,
    GOOD = 0x600d,
    POISON = 0xdead,
};

static unsigned inside, released; /* atomic */

static void sleep_ns(long ns)
{
    const struct timespec pause = {.tv_nsec = ns};

    nanosleep(&pause, NULL);
}

static void wait_for_flag(const unsigned *flag)
{
    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE)) {
        sched_yield();
    }
}

/* Stays inside until it is released, then ends. */
static void *stay_inside(void *argument)
{
    (void)argument;
    live_enter_cpu(FIRST_CPU);
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    wait_for_flag(&released);
    __atomic_store_n(&inside, 0, __ATOMIC_RELEASE);
    live_checkpoint();
    live_leave_cpu();
    return NULL;
}

static pthread_t start(void *(*run)(void *argument), void *argument)
{
    pthread_t thread;

    __atomic_store_n(&inside, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&released, 0, __ATOMIC_RELAXED);
    assert_int_equal(pthread_create(&thread, NULL, run, argument), 0);
    return thread;
}

static void *release_later(void *argument)
{
    (void)argument;
    sleep_ns(KEPT_IN_NS);
    __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
    return NULL;
}

static void thread_inside_is_waited_for(void **state)
{
    pthread_t thread = start(stay_inside, NULL);
    pthread_t releaser;

    (void)state;
    wait_for_flag(&inside);
    assert_int_equal(pthread_create(&releaser, NULL, release_later, NULL), 0);
    assert_true(platform_synchronize());
    assert_int_equal(__atomic_load_n(&inside, __ATOMIC_ACQUIRE), 0);
    pthread_join(thread, NULL);
    pthread_join(releaser, NULL);
}

static void thread_that_never_comes_is_given_up(void **state)
{
    pthread_t thread = start(stay_inside, NULL);

    (void)state;
    wait_for_flag(&inside);
    live_set_grace_limit(GIVE_UP_NS);
    assert_false(platform_synchronize());
    live_set_grace_limit(10000000000u);
    __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
    assert_true(platform_synchronize()); /* it has left */
}

static void *pass_checkpoints(void *argument)
{
    (void)argument;
    live_enter_cpu(FIRST_CPU);
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
        live_checkpoint();
    }
    live_leave_cpu();
    return NULL;
}

static void checkpoints_let_a_busy_thread_through(void **state)
{
    pthread_t thread = start(pass_checkpoints, NULL);

    (void)state;
    wait_for_flag(&inside);
    for (unsigned i = 0; i < 20; i++) {
        assert_true(platform_synchronize());
    }
    __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

/* A checkpoint alone in the past must not stand for those to come. */
static void *pass_one_checkpoint_and_stay(void *argument)
{
    live_enter_cpu(FIRST_CPU);
    live_checkpoint();
    live_leave_cpu();
    return stay_inside(argument);
}

static void checkpoint_before_the_call_does_not_count(void **state)
{
    pthread_t thread = start(pass_one_checkpoint_and_stay, NULL);

    (void)state;
    wait_for_flag(&inside);
    live_set_grace_limit(GIVE_UP_NS);
    assert_false(platform_synchronize());
    live_set_grace_limit(10000000000u);
    __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
    pthread_join(thread, NULL);
}

struct version {
    uint64_t words[8];
};

static struct version versions[RING]; /* a freed one stays poisoned for a while */
static struct version *published;     /* atomic */
static uint64_t poisoned_reads;       /* atomic */

static void *read_versions(void *argument)
{
    live_enter_cpu((unsigned)(uintptr_t)argument);
    __atomic_store_n(&inside, 1, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&released, __ATOMIC_ACQUIRE)) {
        const struct version *version = __atomic_load_n(&published, __ATOMIC_ACQUIRE);

        for (unsigned i = 0; i < ARRAY_COUNT(version->words); i++) {
            if (__atomic_load_n(&version->words[i], __ATOMIC_RELAXED) != GOOD) {
                __atomic_fetch_add(&poisoned_reads, 1, __ATOMIC_RELAXED);
            }
        }
        live_checkpoint();
    }
    live_leave_cpu();
    return NULL;
}

static void version_fill(struct version *version, uint64_t value)
{
    for (unsigned i = 0; i < ARRAY_COUNT(version->words); i++) {
        __atomic_store_n(&version->words[i], value, __ATOMIC_RELAXED);
    }
}

static void no_reader_sees_a_version_that_a_period_has_freed(void **state)
{
    pthread_t threads[THREADS];

    (void)state;
    version_fill(&versions[0], GOOD);
    published = &versions[0];
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = start(read_versions, (void *)(uintptr_t)(FIRST_CPU + i));
        wait_for_flag(&inside);
    }
    for (unsigned i = 1; i <= VERSIONS; i++) {
        version_fill(&versions[i % RING], GOOD);
        __atomic_store_n(&published, &versions[i % RING], __ATOMIC_RELEASE);
        assert_true(platform_synchronize());
        version_fill(&versions[(i - 1) % RING], POISON);
    }
    __atomic_store_n(&released, 1, __ATOMIC_RELEASE);
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    assert_int_equal(poisoned_reads, 0);
}

static int group_setup(void **state)
{
    const char *why_not = live_initialize();

    (void)state;
    if (why_not != NULL) {
        print_message("%s\n", why_not);
        return -1;
    }
    live_enter_cpu(PATCHER_CPU); /* who never passes a checkpoint while it waits itself */
    return 0;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(thread_inside_is_waited_for),
    cmocka_unit_test(thread_that_never_comes_is_given_up),
    cmocka_unit_test(checkpoints_let_a_busy_thread_through),
    cmocka_unit_test(checkpoint_before_the_call_does_not_count),
    cmocka_unit_test(no_reader_sees_a_version_that_a_period_has_freed),
};

HOST_TEST_MAIN(tests, group_setup)
