// SPDX-License-Identifier: MIT
/* What a function may do that is called through a slot: sleep, wait for a grace period, change its
 * own dynamic call; and one that goes away. Why it detects: whoever waited for himself would wait
 * for grace_timeout_ms, and the change would be refused (PATCH_ERR_NOT_LEFT). Could miss: nothing
 * of that, as it is no race. */
#include "patching/dynamic_auto.h"

#include "arch/clock.h"
#include "kernel/grace_period.h"
#include "kernel/thread.h"
#include "tests/kernel/test.h"

#define POLL_NS  100000ull
#define LIMIT_NS 10000000000ull
#define ENOUGH   3 /* callees that change slots, one inside the other */

typedef unsigned callee(unsigned argument);

DEFINE_DYNAMIC_CALL_BY_HAND(test_callee, unsigned(unsigned), 2);

static struct dynamic_call *const subject = &dynamic_call_test_callee;
static bool is_inside, may_leave, is_over; /* atomic */
static unsigned answer;                    /* behind is_over */
static enum patch_status inner_status;     /* what a callee's change returned */
static bool was_waited;                    /* what its grace period returned */

static __attribute__((noinline)) unsigned call(callee *target, unsigned argument)
{
    return dynamic_call(test_callee, target, argument) + 1;
}

static struct dynamic_call_form form_of(callee *first, callee *second)
{
    return (struct dynamic_call_form){
        .targets = {.slot = {(uint64_t)first, (uint64_t)second}},
        .compare = DYNAMIC_COMPARE_IMMEDIATE,
        .is_open = true,
    };
}

static bool names(struct test *test, callee *first, callee *second)
{
    const struct dynamic_call_form form = form_of(first, second);

    return EXPECT_EQUAL(test, dynamic_call_set_form(subject, &form, NULL), PATCH_OK);
}

static void put_back(struct test *test)
{
    const struct dynamic_call_form boot = {.compare = DYNAMIC_COMPARE_MEMORY};

    EXPECT_EQUAL(test, dynamic_auto_set(subject, false, clock_now_ns(), NULL), PATCH_OK);
    EXPECT_EQUAL(test, dynamic_call_set_form(subject, &boot, NULL), PATCH_OK);
}

static bool flag_comes(const bool *flag)
{
    uint64_t limit = clock_now_ns() + test_patience_ns(LIMIT_NS);

    while (!__atomic_load_n(flag, __ATOMIC_ACQUIRE) && clock_now_ns() < limit) {
        thread_sleep_ns(POLL_NS);
    }
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static unsigned quick(unsigned argument)
{
    return argument * 2;
}

static unsigned other(unsigned argument)
{
    return argument * 3;
}

static unsigned sleep_inside(unsigned argument)
{
    __atomic_store_n(&is_inside, true, __ATOMIC_RELEASE);
    while (!__atomic_load_n(&may_leave, __ATOMIC_ACQUIRE)) {
        thread_sleep_ns(POLL_NS);
    }
    return argument * 5;
}

static unsigned wait_for_a_grace_period(unsigned argument)
{
    was_waited = synchronize_tasks();
    return argument * 7;
}

/* Takes itself out of the slot by which it is called, and goes in again by the other. */
static unsigned change_own_call(unsigned argument)
{
    const struct dynamic_call_form form =
        argument % 2 == 0 ? form_of(other, change_own_call) : form_of(change_own_call, quick);

    inner_status = dynamic_call_set_form(subject, &form, NULL);
    return inner_status != PATCH_OK || argument >= ENOUGH ? argument
                                                          : call(change_own_call, argument + 1);
}

static unsigned forget_itself(unsigned argument)
{
    inner_status = dynamic_calls_forget((uint64_t)forget_itself, NULL);
    return argument * 11;
}

static void call_the_sleeper(void *argument)
{
    (void)argument;
    answer = call(sleep_inside, 10);
    __atomic_store_n(&is_over, true, __ATOMIC_RELEASE);
}

static void callee_that_sleeps_holds_nobody_up(struct test *test)
{
    is_inside = may_leave = is_over = false;
    names(test, sleep_inside, quick);
    struct thread *thread = thread_create("sleeper", THREAD_ANY_CPU, call_the_sleeper, NULL);

    if (EXPECT(test, thread != NULL)) {
        EXPECT(test, flag_comes(&is_inside));
        names(test, other, quick); /* while it is in what slot 0 called */
        EXPECT_EQUAL(test, call(other, 10), 31);
        __atomic_store_n(&may_leave, true, __ATOMIC_RELEASE);
        thread_join(thread);
        EXPECT(test, is_over);
        EXPECT_EQUAL(test, answer, 51);
    }
    put_back(test);
}

static void callee_may_wait_for_a_grace_period(struct test *test)
{
    names(test, wait_for_a_grace_period, quick);
    was_waited = false;
    EXPECT_EQUAL(test, call(wait_for_a_grace_period, 10), 71);
    EXPECT(test, was_waited);
    put_back(test);
}

static void callee_may_change_its_own_call(struct test *test)
{
    names(test, change_own_call, quick);
    inner_status = PATCH_ERR_EMPTY;
    EXPECT_EQUAL(test, call(change_own_call, 0), ENOUGH + ENOUGH + 1);
    EXPECT_EQUAL(test, inner_status, PATCH_OK);
    EXPECT_EQUAL(test, subject->form.targets.slot[0], (uint64_t)change_own_call);
    EXPECT_EQUAL(test, call(quick, 10), 21);
    EXPECT_EQUAL(test, call(other, 10), 31);
    put_back(test);
}

static void what_is_forgotten_is_in_no_slot(struct test *test)
{
    struct dynamic_call_view before, after;

    names(test, quick, other);
    dynamic_call_look(subject, &before);
    EXPECT_EQUAL(test, dynamic_calls_forget((uint64_t)quick, NULL), PATCH_OK);
    dynamic_call_look(subject, &after);
    EXPECT_EQUAL(test, after.form.targets.slot[0], 0);
    EXPECT_EQUAL(test, after.form.targets.slot[1], (uint64_t)other);
    EXPECT(test, after.form.is_open);
    EXPECT_EQUAL(test, after.statistics.forgotten - before.statistics.forgotten, 1);
    EXPECT_EQUAL(test, call(other, 10), 31);
    EXPECT_EQUAL(test, dynamic_calls_forget((uint64_t)other, NULL), PATCH_OK);
    dynamic_call_look(subject, &after);
    EXPECT(test, !after.form.is_open); /* nothing is behind it */
    put_back(test);
}

static void callee_may_forget_itself(struct test *test)
{
    names(test, forget_itself, quick);
    inner_status = PATCH_ERR_EMPTY;
    EXPECT_EQUAL(test, call(forget_itself, 10), 111);
    EXPECT_EQUAL(test, inner_status, PATCH_OK);
    EXPECT_EQUAL(test, subject->form.targets.slot[0], 0);
    put_back(test);
}

static void pinned_targets_stay_until_somebody_says_so(struct test *test)
{
    struct dynamic_targets targets = {.slot = {(uint64_t)quick}};
    struct dynamic_auto_view view;

    EXPECT_EQUAL(test, dynamic_auto_pin(subject, &targets, clock_now_ns(), NULL), PATCH_OK);
    dynamic_auto_look(subject, &view);
    EXPECT_EQUAL(test, view.state, DYNAMIC_PINNED);
    EXPECT(test, subject->form.is_open && !subject->form.is_watched);
    EXPECT_EQUAL(test, call(quick, 10), 21);
    EXPECT_EQUAL(test, call(other, 10), 31);
    EXPECT_EQUAL(test, dynamic_auto_set_compare(subject, DYNAMIC_COMPARE_MEMORY, NULL), PATCH_OK);
    EXPECT_EQUAL(test, subject->form.targets.slot[0], (uint64_t)quick);
    EXPECT_EQUAL(test, call(quick, 10), 21);
    targets.slot[0] = 0;
    EXPECT_EQUAL(test, dynamic_auto_pin(subject, &targets, clock_now_ns(), NULL),
                 PATCH_ERR_NO_TARGET);
    EXPECT_EQUAL(test, subject->form.targets.slot[0], (uint64_t)quick);
    EXPECT_EQUAL(test, dynamic_auto_set(subject, true, clock_now_ns(), NULL), PATCH_OK);
    dynamic_auto_look(subject, &view);
    EXPECT_EQUAL(test, view.state, DYNAMIC_LEARNING);
    (void)dynamic_auto_step(subject, clock_now_ns());
    EXPECT(test, !subject->form.is_open && subject->form.is_watched);
    EXPECT_EQUAL(test, dynamic_auto_set(subject, false, clock_now_ns(), NULL), PATCH_OK);
    dynamic_auto_look(subject, &view);
    EXPECT_EQUAL(test, view.state, DYNAMIC_OFF);
    EXPECT(test, !subject->form.is_open && !subject->form.is_watched);
    EXPECT_EQUAL(test, call(quick, 10), 21);
    put_back(test);
}

static const struct test_case cases[] = {
    TEST_CASE(callee_that_sleeps_holds_nobody_up),
    TEST_CASE(callee_may_wait_for_a_grace_period),
    TEST_CASE(callee_may_change_its_own_call),
    TEST_CASE(what_is_forgotten_is_in_no_slot),
    TEST_CASE(callee_may_forget_itself),
    TEST_CASE(pinned_targets_stay_until_somebody_says_so),
};

const struct test_suite suite_dynamic_callee = TEST_SUITE("dynamic_callee", cases);
