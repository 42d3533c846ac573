// SPDX-License-Identifier: MIT
/* Many threads count one key up and down while all of them, and one that does nothing else, execute
 * its branches on the real CPU. Detects an increment that returns before the text has changed, a
 * lost count, a decrement that disables under a user, a trap that is not resolved. The first
 * batches are held while int3 stands, so that the others meet a half-done flip on any machine.
 * Could miss: windows of a few instructions; hence the number of rounds. */
#include "patching/static_key.h"

#include "patching/platform.h"
#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

enum {
    COUNTERS = 4,
    ROUNDS = 1500,
    HELD = 200, /* batches */
    HELD_US = 300,
};

DEFINE_STATIC_KEY_FALSE(contested);
DEFINE_STATIC_KEY_FALSE(toggled);

static const char *why_not;
static unsigned executor_stop;
static uint64_t executions;

/* Two branches, so that a flip that is half done shows. */
__attribute__((noinline)) static unsigned contested_branches(void)
{
    unsigned taken = 0;

    if (static_branch_unlikely(&contested)) {
        taken |= 1;
    }
    if (static_branch_likely_long(&contested)) {
        taken |= 2;
    }
    return taken;
}

__attribute__((noinline)) static unsigned toggled_branches(void)
{
    return (static_branch_unlikely(&toggled) ? 1u : 0u) |
           (static_branch_unlikely_long(&toggled) ? 2u : 0u);
}

/* Called with the patch lock held, which orders the count. */
static void hold_first_batches(enum patch_step step, enum patch_moment moment)
{
    static unsigned held;

    if (step == PATCH_STEP_INT3 && moment == PATCH_MOMENT_SYNCED && held < HELD) {
        held++;
        usleep(HELD_US);
    }
}

/* Between increment and decrement every branch must be the enabled one. */
static void *count_up_and_down(void *argument)
{
    unsigned cpu = (unsigned)(uintptr_t)argument;
    uint64_t random = cpu + 1;
    uintptr_t errors = 0;

    live_enter_cpu(cpu);
    for (unsigned round = 0; round < ROUNDS; round++) {
        errors += static_key_increment(&contested) != PATCH_OK;
        errors += contested_branches() != 3;
        if (round % 7 == cpu) {
            sched_yield();
        }
        errors += contested_branches() != 3;
        errors += static_key_decrement(&contested) != PATCH_OK;
        usleep(next_random(&random) % 100); /* users gone most of the time: many first enables */
    }
    live_leave_cpu();
    return (void *)errors;
}

static void *execute_all_the_time(void *argument)
{
    live_enter_cpu((unsigned)(uintptr_t)argument);
    while (!__atomic_load_n(&executor_stop, __ATOMIC_ACQUIRE)) {
        contested_branches();
        toggled_branches();
        __atomic_store_n(&executions, executions + 1, __ATOMIC_RELEASE);
    }
    live_leave_cpu();
    return NULL;
}

static pthread_t start_executor(void)
{
    pthread_t executor;

    executor_stop = 0;
    executions = 0;
    assert_int_equal(
        pthread_create(&executor, NULL, execute_all_the_time, (void *)(uintptr_t)COUNTERS), 0);
    while (__atomic_load_n(&executions, __ATOMIC_ACQUIRE) == 0) {
        sched_yield(); /* the race begins when it runs */
    }
    return executor;
}

static void stop_executor(pthread_t executor)
{
    __atomic_store_n(&executor_stop, 1, __ATOMIC_RELEASE);
    assert_int_equal(pthread_join(executor, NULL), 0);
}

static void skip_unless_live(void)
{
    if (why_not != NULL) {
        print_message("SKIP: %s\n", why_not);
        skip();
    }
}

/* Runs @thread COUNTERS times at once while another thread executes the branches; each returns the
 * number of its errors. */
static void run_beside_executor(void *(*thread)(void *))
{
    pthread_t threads[COUNTERS];
    pthread_t executor;

    skip_unless_live();
    executor = start_executor();
    for (uintptr_t i = 0; i < COUNTERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, thread, (void *)i), 0);
    }
    for (unsigned i = 0; i < COUNTERS; i++) {
        void *errors;

        assert_int_equal(pthread_join(threads[i], &errors), 0);
        assert_null(errors);
    }
    stop_executor(executor);
}

static void increment_returns_only_when_the_text_is_enabled(void **state)
{
    (void)state;
    live_set_hold(hold_first_batches);
    run_beside_executor(count_up_and_down);
    live_set_hold(NULL);
    assert_int_equal(static_key_count(&contested), 0);
    assert_int_equal(contested_branches(), 0);
    assert_true(patch_record_newest() >= 2); /* one enable and one disable at the very least */
}

static void *toggle_or_be_refused(void *argument)
{
    uintptr_t errors = 0;

    live_enter_cpu((unsigned)(uintptr_t)argument);
    for (unsigned round = 0; round < ROUNDS / 5; round++) {
        struct patch_change changes[] = {
            static_key_change_to(&toggled, round % 2 == 0),
        };

        errors += patch_transaction("toggle", changes, 1, NULL) != PATCH_OK;
    }
    live_leave_cpu();
    return (void *)errors;
}

static void racing_transactions_leave_text_and_count_in_step(void **state)
{
    (void)state;
    run_beside_executor(toggle_or_be_refused);
    assert_int_equal(toggled_branches(), static_key_is_enabled(&toggled) ? 3 : 0);
    assert_int_equal(static_key_disable(&toggled), PATCH_OK);
    assert_int_equal(toggled_branches(), 0);
}

static int group_setup(void **state)
{
    (void)state;
    why_not = live_initialize();
    return why_not == NULL && static_key_initialize(NULL) != PATCH_OK ? -1 : 0;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(increment_returns_only_when_the_text_is_enabled),
    cmocka_unit_test(racing_transactions_leave_text_and_count_in_step),
};

HOST_TEST_MAIN(tests, group_setup)
