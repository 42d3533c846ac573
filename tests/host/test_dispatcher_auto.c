// SPDX-License-Identifier: MIT
/* Automatic choice on a dispatcher, over the recorder: the test plays the worker and the callers,
 * and moves the clock on by what a call costs in the shape that it goes through. Why it detects:
 * what runs is the code itself, so that a call which goes astray or past the sampler is seen; the
 * best shape is the one that the test made so. */
#include "patching/dispatcher_auto.h"
#include "patching/platform.h"
#include "tests/host/dispatched.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#define MILLISECOND 1000000ull
#define SECOND      1000000000ull

enum { ENTRIES = 8, CALLS = 2000 };

static struct dispatcher *const subject = &dispatcher_subject;
static uint64_t now_ns = SECOND; /* never goes back: the budget is shared by all cases */
static enum dispatcher_shape best;
static unsigned callee; /* that is called three times of four */

/* Calls of about 100 ticks in the best shape, of 400 in others. */
static void traffic(unsigned calls)
{
    for (unsigned i = 0; i < calls; i++) {
        unsigned number = i % 4 == 0 ? i / 4 % ENTRIES : callee;
        unsigned ticks = subject->shape == best ? 10 : 40;

        assert_int_equal(dispatched_call(number), number + 1);
        while (ticks-- > 0) {
            platform_time_ticks();
        }
    }
}

static void step(void)
{
    now_ns += MILLISECOND;
    (void)dispatcher_auto_step(subject, now_ns);
}

/* Steps with traffic, until @decisions were made; so many at most. What the last one takes is not
 * done yet. */
static void run_until_decided(uint64_t decisions)
{
    for (unsigned i = 0; i < 5000 && dispatcher_auto_decided(subject) < decisions; i++) {
        traffic(CALLS);
        step();
    }
    assert_int_equal(dispatcher_auto_decided(subject), decisions);
}

static void run_until(uint64_t decisions)
{
    run_until_decided(decisions);
    for (unsigned i = 0; i < 3; i++) { /* the patch that ends it */
        step();
    }
}

static void run_until_trying(void)
{
    for (unsigned i = 0; i < 2000 && (subject->choice.state != DISPATCHER_CHOICE_TRYING ||
                                      subject->choice.round == 0);
         i++) {
        traffic(CALLS);
        step();
    }
    assert_int_equal(subject->choice.state, DISPATCHER_CHOICE_TRYING);
}

static void automatic(bool is_on)
{
    assert_int_equal(dispatcher_auto_set(subject, is_on, NULL), PATCH_OK);
    assert_int_equal(dispatcher_auto_is_on(subject), is_on);
}

static void expect_direct(enum dispatcher_shape shape)
{
    dispatched_look();
    assert_false(dispatched_view.is_sampled);
    assert_int_equal(dispatched_view.shape, shape);
    assert_ptr_not_equal(static_call_target(&static_call_data_subject),
                         (static_call_function *)subject->sampler);
    dispatched_expect_all_calls();
}

static uint64_t updates(void)
{
    dispatched_look();
    return dispatched_view.statistics.updates;
}

static int setup(void **state)
{
    int failed = dispatched_setup(state);

    now_ns += 100 * SECOND;
    best = DISPATCHER_LINEAR;
    callee = 5;
    dispatcher_auto_set_budget(DISPATCHER_BUDGET_DEFAULT);
    dispatched_add_first(ENTRIES);
    return failed;
}

static int teardown(void **state)
{
    recorder.may_patch = true;
    recorder.silent_round = 0;
    automatic(false);
    dispatched_shape_set(DISPATCHER_TREE);
    return dispatched_teardown(state);
}

static void cheapest_shape_is_found_and_called_directly(void **state)
{
    uint64_t known = dispatcher_auto_decided(subject);
    uint64_t patches = updates();
    struct dispatcher_decision decision;

    (void)state;
    automatic(true);
    run_until(known + 1);
    expect_direct(DISPATCHER_LINEAR);
    assert_true(dispatcher_auto_decision(subject, known + 1, &decision));
    assert_int_equal(decision.reason, DISPATCHER_REASON_FIRST);
    assert_int_equal(decision.before, DISPATCHER_TREE);
    assert_int_equal(decision.after, DISPATCHER_LINEAR);
    assert_int_equal(decision.patches, updates() - patches);
    assert_true(decision.costs[DISPATCHER_LINEAR] * 3 < decision.costs[DISPATCHER_TREE]);
    assert_int_equal(dispatched_view.hottest[0], callee);
    assert_true(dispatched_view.statistics.sampled_hits >= decision.samples);
    assert_false(dispatcher_auto_decision(subject, known + 2, &decision));
    assert_false(dispatcher_auto_decision(subject, 0, &decision));
}

static void steady_traffic_costs_nothing_until_the_watch(void **state)
{
    (void)state;
    automatic(true);
    run_until(dispatcher_auto_decided(subject) + 1);

    uint64_t patches = updates();

    for (unsigned i = 0; i < 900; i++) {
        traffic(10);
        step();
    }
    assert_int_equal(updates(), patches);
    for (unsigned i = 0; i < 200; i++) {
        traffic(CALLS);
        step();
    }
    assert_true(updates() > patches); /* the watch, or the second trial */
}

static void another_hot_target_is_learned(void **state)
{
    uint64_t known = dispatcher_auto_decided(subject);
    struct dispatcher_decision decision = {0};

    (void)state;
    automatic(true);
    run_until(known + 1);
    callee = 2;
    best = DISPATCHER_NONE;
    run_until(known + 2);
    assert_true(dispatcher_auto_decision(subject, known + 2, &decision));
    assert_int_equal(decision.reason, DISPATCHER_REASON_TRAFFIC);
    expect_direct(DISPATCHER_NONE);
    assert_int_equal(dispatched_view.hottest[0], 2);
}

static void without_traffic_one_patch_and_no_more(void **state)
{
    uint64_t patches = updates();
    uint64_t next_ns = 0;

    (void)state;
    automatic(true);
    for (unsigned i = 0; i < 5000; i++) {
        now_ns += MILLISECOND;
        next_ns = dispatcher_auto_step(subject, now_ns);
    }
    assert_int_equal(updates(), patches + 1);
    assert_true(next_ns > now_ns);
}

static void off_in_a_trial_brings_shape_and_form_back(void **state)
{
    (void)state;
    automatic(true);
    run_until_trying();
    automatic(false);
    expect_direct(DISPATCHER_TREE);

    uint64_t patches = updates();

    for (unsigned i = 0; i < 3000; i++) {
        step();
    }
    assert_int_equal(updates(), patches);
    assert_true(dispatcher_auto_step(subject, now_ns) == UINT64_MAX);
}

/* The last epoch of the trial was not one of the best shape: that is still there. */
static void off_behind_a_decision_carries_it_out(void **state)
{
    (void)state;
    dispatched_shape_set(DISPATCHER_NONE); /* so its turn comes last */
    automatic(true);
    run_until_decided(dispatcher_auto_decided(subject) + 1);
    dispatched_look();
    assert_true(dispatched_view.is_sampled);
    assert_int_not_equal(dispatched_view.shape, best);
    automatic(false);
    expect_direct(best);
    assert_int_equal(dispatched_view.hottest[0], callee);
}

/* Entries that changed behind the decision: the shape holds, the order was that of others. */
static void off_behind_a_change_keeps_the_shape_decided(void **state)
{
    (void)state;
    automatic(true);
    run_until_decided(dispatcher_auto_decided(subject) + 1);
    dispatched_add(ENTRIES);
    automatic(false);
    expect_direct(DISPATCHER_LINEAR);
    dispatched_take_out(ENTRIES);
}

static void changed_entries_end_a_trial(void **state)
{
    uint64_t known = dispatcher_auto_decided(subject);
    struct dispatcher_decision decision;

    (void)state;
    automatic(true);
    run_until_trying();
    dispatched_add(ENTRIES);
    step();
    step();
    dispatched_look();
    assert_int_equal(dispatched_view.shape, DISPATCHER_TREE);
    dispatched_expect_all_calls();
    run_until(known + 1);
    assert_true(dispatcher_auto_decision(subject, known + 1, &decision));
    assert_int_equal(decision.entries, ENTRIES + 1);
    expect_direct(DISPATCHER_LINEAR);
    dispatched_take_out(ENTRIES);
}

static void failed_patches_bring_shape_and_form_back(void **state)
{
    struct dispatcher_auto_view view;

    (void)state;
    automatic(true);
    run_until_trying();
    dispatcher_auto_look(subject, &view);

    uint64_t refused = view.refused;

    recorder.silent_round = recorder.rounds + 1;
    for (unsigned i = 0; i < 2000 && view.refused == refused; i++) {
        traffic(CALLS);
        step();
        dispatcher_auto_look(subject, &view);
    }
    assert_int_equal(view.refused_with, PATCH_ERR_SILENT_CPU);
    recorder.silent_round = 0;
    step();
    step();
    expect_direct(DISPATCHER_TREE);
    run_until(view.decided + 1);
    expect_direct(DISPATCHER_LINEAR);
}

static void samples_of_one_cpu_count_until_it_falls_silent(void **state)
{
    (void)state;
    automatic(true);
    recorder.cpu = 3;
    run_until_trying();
    assert_int_equal(subject->choice.cpu, 3);
    recorder.cpu = 1;
    for (unsigned i = 0; i < 200; i++) { /* CPU 1 calls, nobody listens */
        traffic(CALLS);
        step();
        if (subject->choice.state != DISPATCHER_CHOICE_TRYING) {
            break;
        }
    }
    assert_int_equal(subject->choice.state, DISPATCHER_CHOICE_WATCHING);
    run_until_trying();
    assert_int_equal(subject->choice.cpu, 1);
    recorder.cpu = 0;
}

static void nothing_is_patched_without_budget_or_context(void **state)
{
    uint64_t patches = updates();
    struct patch_error error;

    (void)state;
    automatic(true);
    dispatcher_auto_set_budget(0);
    for (unsigned i = 0; i < 3000; i++) {
        traffic(10);
        step();
    }
    assert_int_equal(updates(), patches);
    dispatcher_auto_set_budget(DISPATCHER_BUDGET_DEFAULT);
    recorder.may_patch = false;
    for (unsigned i = 0; i < 100; i++) {
        step();
    }
    assert_int_equal(dispatcher_auto_set(subject, false, &error), PATCH_ERR_CONTEXT);
    recorder.may_patch = true;
    assert_int_equal(updates(), patches);
}

static void empty_dispatcher_is_as_at_boot(void **state)
{
    (void)state;
    automatic(true);
    run_until_trying();
    for (unsigned i = 0; i < ENTRIES; i++) {
        dispatched_take_out(i);
    }
    dispatched_look();
    expect_direct(dispatched_view.shape);
    assert_int_equal(dispatched_view.count, 0);

    uint64_t patches = updates();

    for (unsigned i = 0; i < 3000; i++) {
        traffic(10);
        step();
    }
    assert_int_equal(updates(), patches);
    dispatched_look();
    assert_int_equal(dispatched_view.shape, DISPATCHER_TREE);
    dispatched_add_first(ENTRIES);
}

#define AUTO_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

static const struct CMUnitTest tests[] = {
    AUTO_TEST(cheapest_shape_is_found_and_called_directly),
    AUTO_TEST(steady_traffic_costs_nothing_until_the_watch),
    AUTO_TEST(another_hot_target_is_learned),
    AUTO_TEST(without_traffic_one_patch_and_no_more),
    AUTO_TEST(off_in_a_trial_brings_shape_and_form_back),
    AUTO_TEST(off_behind_a_decision_carries_it_out),
    AUTO_TEST(off_behind_a_change_keeps_the_shape_decided),
    AUTO_TEST(changed_entries_end_a_trial),
    AUTO_TEST(failed_patches_bring_shape_and_form_back),
    AUTO_TEST(samples_of_one_cpu_count_until_it_falls_silent),
    AUTO_TEST(nothing_is_patched_without_budget_or_context),
    AUTO_TEST(empty_dispatcher_is_as_at_boot),
};

HOST_TEST_MAIN(tests, dispatched_group_setup)
