// SPDX-License-Identifier: MIT
/* Threads call in a loop through every kind of site while one thread updates the call 100,000
 * times, on the real CPU. The targets are counted round: update number n goes to target n modulo
 * TARGETS, target 0 being none (returns 0, or does nothing).
 *
 *     updater                                caller
 *                                            before = finished (acquire)
 *     started = n (relaxed)
 *     static_call_update(n), returns         calls, reaches target t
 *     finished = n (release)
 *                                            after = started (acquire)
 *                                            t must be one of before .. after
 *
 * So a call that begins behind the return of an update never reaches an older target, and none
 * reaches a target that nobody wants yet. The first batches are held while int3 stands, so that
 * callers run into it on any machine. Detects a site or a trampoline that is not in the batch, a
 * wrong emulation, an update that returns too early. Could miss windows of a few instructions, for
 * which there are test_static_call_steps and the recorder; and an update that is TARGETS or more
 * behind at once. */
#include "patching/static_call.h"

#include "patching/trap_statistics.h"
#include "tests/host/host_test.h"
#include "tests/host/live.h"

#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#ifndef STATIC_CALL_UPDATES /* a tenth under the thread sanitizer: live.mk */
#define STATIC_CALL_UPDATES 100000
#endif

enum {
    UPDATES = STATIC_CALL_UPDATES,
    TARGETS = 8,
    CALLERS = 3,
    UPDATER_CPU = CALLERS,
    WAYS = 3,
    HELD = 50, /* batches */
    HELD_US = 200,
};

/* To the calls that return, and to those that write, what they reached. */
#define TARGET(n)                                                                                  \
    static uint64_t return_##n(uint64_t *reached)                                                  \
    {                                                                                              \
        (void)reached;                                                                             \
        return n;                                                                                  \
    }                                                                                              \
    static void write_##n(uint64_t *reached)                                                       \
    {                                                                                              \
        *reached = n;                                                                              \
    }
TARGET(1)
TARGET(2)
TARGET(3)
TARGET(4)
TARGET(5)
TARGET(6)
TARGET(7)

DEFINE_STATIC_CALL_RETURN_ZERO(returning, uint64_t, return_1);
DEFINE_STATIC_CALL_NULL(writing, write_1);
DEFINE_STATIC_CALL_NULL(uncalled, write_1);

#define FUNCTION(name) (static_call_function *)(name)
static static_call_function *const returning_targets[TARGETS] = {
    NULL,
    FUNCTION(return_1),
    FUNCTION(return_2),
    FUNCTION(return_3),
    FUNCTION(return_4),
    FUNCTION(return_5),
    FUNCTION(return_6),
    FUNCTION(return_7),
};
static static_call_function *const writing_targets[TARGETS] = {
    NULL,
    FUNCTION(write_1),
    FUNCTION(write_2),
    FUNCTION(write_3),
    FUNCTION(write_4),
    FUNCTION(write_5),
    FUNCTION(write_6),
    FUNCTION(write_7),
};

/* Each returns what was reached. The frame of the first is needed behind the call; the second is
 * left by a jump, or, if the call writes, is called for that. In assembler, so that every compiler
 * and sanitizer leaves them as they are. */
#define ASSEMBLED_CALLERS(name)                                                                    \
    __asm__(".pushsection .text\n\t"                                                               \
            ".type " #name "_by_call, @function\n" #name "_by_call:\n\t"                           \
            "subq $8, %rsp\n\tcall static_call_" #name "\n\taddq $8, %rsp\n\tret\n"                \
            ".type " #name "_by_jump, @function\n" #name "_by_jump:\n\t"                           \
            "jmp static_call_" #name "\n\tud2\n"                                                   \
            ".type " #name "_by_jump_if, @function\n" #name "_by_jump_if:\n\t"                     \
            "testq %rdi, %rdi\n\tjnz static_call_" #name "\n\tud2\n\t"                             \
            ".popsection");                                                                        \
    extern __typeof__(static_call_##name) name##_by_call, name##_by_jump, name##_by_jump_if

ASSEMBLED_CALLERS(returning);
ASSEMBLED_CALLERS(writing);

typedef uint64_t reach_function(unsigned way);

static uint64_t reach_returning(unsigned way)
{
    static __typeof__(returning_by_call) *const ways[WAYS] = {returning_by_call, returning_by_jump,
                                                              returning_by_jump_if};
    uint64_t unused;

    return ways[way](&unused);
}

static uint64_t reach_writing(unsigned way)
{
    static __typeof__(writing_by_call) *const ways[WAYS] = {writing_by_call, writing_by_jump,
                                                            writing_by_jump_if};
    uint64_t reached = 0;

    ways[way](&reached);
    return reached;
}

/* Atomic, all: */
static uint64_t started, finished;
static unsigned callers_stop, callers_ready;
static uint64_t calls, settled_calls, misses;

static const char *why_not;

static bool is_one_of(uint64_t target, uint64_t before, uint64_t after)
{
    return target < TARGETS && (after - before >= TARGETS - 1 ||
                                (target + TARGETS - before % TARGETS) % TARGETS <= after - before);
}

static void *call_all_the_time(void *argument)
{
    reach_function *reach = *(reach_function **)argument;
    uint64_t made = 0;
    uint64_t settled = 0;
    uint64_t missed = 0;

    live_enter_cpu(__atomic_fetch_add(&callers_ready, 1, __ATOMIC_RELAXED));
    while (!__atomic_load_n(&callers_stop, __ATOMIC_RELAXED)) {
        for (unsigned way = 0; way < WAYS; way++) {
            /* Acquire, both: pair with the releases in update_many(). */
            uint64_t before = __atomic_load_n(&finished, __ATOMIC_ACQUIRE);
            uint64_t target = reach(way);
            uint64_t after = __atomic_load_n(&started, __ATOMIC_ACQUIRE);

            made++;
            settled += before == after;
            missed += !is_one_of(target, before, after);
        }
    }
    live_leave_cpu();
    __atomic_fetch_add(&calls, made, __ATOMIC_RELAXED);
    __atomic_fetch_add(&settled_calls, settled, __ATOMIC_RELAXED);
    __atomic_fetch_add(&misses, missed, __ATOMIC_RELAXED);
    return NULL;
}

/* Called with the patch lock held, which orders the count. */
static unsigned held;

static void hold_first_batches(enum patch_step step, enum patch_moment moment)
{
    if (step == PATCH_STEP_INT3 && moment == PATCH_MOMENT_SYNCED && held < HELD) {
        held++;
        usleep(HELD_US);
    }
}

static void update_many(struct static_call *call, static_call_function *const *targets)
{
    uint64_t failures = 0;

    for (uint64_t number = 1; number <= UPDATES; number++) {
        /* Release: whoever reads it knows the updates before. */
        __atomic_store_n(&started, number, __ATOMIC_RELEASE);
        failures += static_call_set(call, targets[number % TARGETS], NULL) != PATCH_OK;
        /* Release: whoever reads it is ordered behind the update. */
        __atomic_store_n(&finished, number, __ATOMIC_RELEASE);
    }
    assert_int_equal(failures, 0);
    assert_ptr_equal(static_call_target(call), targets[UPDATES % TARGETS]);
}

static void skip_unless_live(void)
{
    if (why_not != NULL) {
        print_message("SKIP: %s\n", why_not);
        skip();
    }
}

static void race(struct static_call *call, static_call_function *const *targets,
                 reach_function *reach, enum static_call_form form)
{
    pthread_t threads[CALLERS];
    uint64_t records;

    skip_unless_live();
    started = finished = calls = settled_calls = misses = 0;
    callers_stop = callers_ready = held = 0;
    live_enter_cpu(UPDATER_CPU);
    assert_int_equal(static_call_set_form(call, form, NULL), PATCH_OK);
    assert_int_equal(static_call_set(call, targets[0], NULL), PATCH_OK);
    patch_trap_times_reset();
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, call_all_the_time, &reach), 0);
    }
    while (__atomic_load_n(&callers_ready, __ATOMIC_RELAXED) < CALLERS) {
        sched_yield();
    }
    live_set_hold(hold_first_batches);
    records = patch_record_newest();
    update_many(call, targets);
    records = patch_record_newest() - records;
    live_set_hold(NULL);
    __atomic_store_n(&callers_stop, 1, __ATOMIC_RELAXED);
    for (unsigned i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    live_leave_cpu();

    struct histogram times = {0};

    patch_trap_times_merge(&times);
    if (getenv("VERBOSE") != NULL) {
        print_message("%s: %lu calls, %lu of them settled, %lu traps, %lu misses\n", call->name,
                      calls, settled_calls, times.count, misses);
    }
    assert_int_equal(misses, 0);
    assert_int_equal(records, UPDATES);
    assert_in_range(calls, UPDATES / 100, UINT64_MAX);
    assert_in_range(settled_calls, 1, UINT64_MAX);
    assert_in_range(times.count, 1, UINT64_MAX);
}

static void inline_call_reaches_old_or_new_and_then_only_new(void **state)
{
    (void)state;
    race(&static_call_data_returning, returning_targets, reach_returning, STATIC_CALL_INLINE);
}

static void inline_call_without_result_reaches_old_or_new_and_then_only_new(void **state)
{
    (void)state;
    race(&static_call_data_writing, writing_targets, reach_writing, STATIC_CALL_INLINE);
}

static void call_out_of_line_reaches_old_or_new_and_then_only_new(void **state)
{
    (void)state;
    race(&static_call_data_returning, returning_targets, reach_returning, STATIC_CALL_OUT_OF_LINE);
}

static void call_that_nobody_makes_is_updated_all_the_same(void **state)
{
    (void)state;
    uint64_t records = patch_record_newest();

    skip_unless_live();
    live_enter_cpu(UPDATER_CPU);
    update_many(&static_call_data_uncalled, writing_targets);
    live_leave_cpu();
    assert_int_equal(patch_record_newest() - records, UPDATES);
}

/* Each of two threads has targets of its own: what it has set may be gone at once, but the text is
 * always somebody's. */
static void *update_with_own_targets(void *argument)
{
    unsigned first = *(unsigned *)argument;
    uintptr_t errors = 0;

    live_enter_cpu(UPDATER_CPU + first);
    for (unsigned number = 0; number < UPDATES / 10; number++) {
        errors += static_call_set(&static_call_data_returning,
                                  returning_targets[first + 2 * (number % 3)], NULL) != PATCH_OK;
    }
    live_leave_cpu();
    return (void *)errors;
}

static void racing_updaters_leave_text_and_target_in_step(void **state)
{
    (void)state;
    unsigned firsts[2] = {1, 2};
    pthread_t threads[2];

    skip_unless_live();
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, update_with_own_targets, &firsts[i]), 0);
    }
    for (unsigned i = 0; i < 2; i++) {
        void *errors;

        assert_int_equal(pthread_join(threads[i], &errors), 0);
        assert_null(errors);
    }
    for (unsigned way = 0; way < WAYS; way++) {
        assert_ptr_equal(returning_targets[reach_returning(way)],
                         static_call_target(&static_call_data_returning));
    }
    assert_false(static_call_data_returning.is_changing);
}

static int group_setup(void **state)
{
    (void)state;
    why_not = live_initialize();
    return why_not == NULL && static_call_initialize(NULL) != PATCH_OK ? -1 : 0;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(inline_call_reaches_old_or_new_and_then_only_new),
    cmocka_unit_test(inline_call_without_result_reaches_old_or_new_and_then_only_new),
    cmocka_unit_test(call_out_of_line_reaches_old_or_new_and_then_only_new),
    cmocka_unit_test(call_that_nobody_makes_is_updated_all_the_same),
    cmocka_unit_test(racing_updaters_leave_text_and_target_in_step),
};

HOST_TEST_MAIN(tests, group_setup)
