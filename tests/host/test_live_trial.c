// SPDX-License-Identifier: MIT
/* Threads as CPUs call the recorder all the time, while trials start and stop. Detects: samples of
 * a CPU that is not the one that records, or of an older trial; under the sanitizers, races. Could
 * miss: a thread that is preempted between two given instructions, which trial.h allows to spoil a
 * trial: here each CPU has one thread, which does not outlive its part of a trial. */
#include "patching/trial.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>

enum { CALLERS = 3, TRIALS = 20 };

static struct trial trial = {.cpu = TRIAL_NO_CPU};
static bool should_stop;         /* atomic */
static uint64_t current;         /* atomic: number of the trial */
static uint64_t rounds[CALLERS]; /* atomic: calls that have ended */

static void *call(void *argument)
{
    uint64_t cpu = (uint64_t)argument;

    live_enter_cpu((unsigned)cpu);
    while (!__atomic_load_n(&should_stop, __ATOMIC_RELAXED)) {
        /* Acquire: pairs with the release in the test. */
        trial_record(&trial, __atomic_load_n(&current, __ATOMIC_ACQUIRE) * CALLERS + cpu);
        __atomic_fetch_add(&rounds[cpu], 1, __ATOMIC_RELEASE);
    }
    live_leave_cpu();
    return NULL;
}

/* Until every call that may be on its way has ended. */
static void calls_wait(void)
{
    for (unsigned cpu = 0; cpu < CALLERS; cpu++) {
        uint64_t before = __atomic_load_n(&rounds[cpu], __ATOMIC_ACQUIRE);

        while (__atomic_load_n(&rounds[cpu], __ATOMIC_ACQUIRE) < before + 2) {
            sched_yield();
        }
    }
}

static void one_trial(uint64_t number)
{
    uint32_t only = number % 2 == 0 ? TRIAL_ANY_CPU : (uint32_t)(number % CALLERS);

    __atomic_store_n(&current, number, __ATOMIC_RELEASE);
    calls_wait();
    trial_start(&trial, only);
    while (!trial_is_full(&trial)) {
        sched_yield();
    }
    uint32_t count = trial_stop(&trial);
    uint32_t cpu = trial_cpu(&trial);

    assert_true(count == TRIAL_SAMPLES && cpu < CALLERS);
    assert_true(only == TRIAL_ANY_CPU || cpu == only);
    for (uint32_t i = 0; i < count; i++) {
        assert_int_equal(__atomic_load_n(&trial.samples[i].target, __ATOMIC_RELAXED),
                         number * CALLERS + cpu);
    }
    assert_true(trial_cost(trial.samples, count) > 0);
    calls_wait();
    assert_int_equal(trial_stop(&trial), count);
}

static void one_cpu_records_each_trial(void **state)
{
    pthread_t threads[CALLERS];

    (void)state;
    for (uint64_t cpu = 0; cpu < CALLERS; cpu++) {
        assert_int_equal(pthread_create(&threads[cpu], NULL, call, (void *)cpu), 0);
    }
    live_enter_cpu(CALLERS);
    for (uint64_t number = 1; number <= TRIALS; number++) {
        one_trial(number);
    }
    live_leave_cpu();
    __atomic_store_n(&should_stop, true, __ATOMIC_RELAXED);
    for (unsigned cpu = 0; cpu < CALLERS; cpu++) {
        pthread_join(threads[cpu], NULL);
    }
}

static int group_setup(void **state)
{
    const char *why_not = live_initialize();

    (void)state;
    if (why_not != NULL) {
        print_message("%s\n", why_not);
    }
    return why_not != NULL;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(one_cpu_records_each_trial),
};

HOST_TEST_MAIN(tests, group_setup)
