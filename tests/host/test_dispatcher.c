// SPDX-License-Identifier: MIT
/* Dispatchers over the recorder: entries, references, shapes, samplers. What runs is the code
 * itself: calls go through the entry, as patched. */
#include "tests/host/dispatched.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

static void entries_are_reached_through_the_image(void **state)
{
    (void)state;
    assert_int_equal(dispatched_call(0), 1);
    dispatched_add(0);
    dispatched_look();
    assert_int_equal(dispatched_view.count, 1);
    assert_true(dispatched_view.image != 0);
    assert_ptr_equal(static_call_target(dispatcher_subject.entry), dispatched_view.image);
    dispatched_expect_all_calls();

    /* Without the image's own jump the call would not arrive: it does not go through the fallback.
     */
    ((uint8_t *)dispatched_view.image)[dispatched_view.image_length - 5] = 0xf4;
    assert_int_equal(dispatched_call(0), 1);
    ((uint8_t *)dispatched_view.image)[dispatched_view.image_length - 5] = 0xe9;
}

static void every_shape_and_size_reaches_every_program(void **state)
{
    (void)state;
    for (unsigned count = 0; count <= DISPATCHER_ENTRY_MAX; count++) {
        for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
            dispatched_shape_set(shape);
            dispatched_expect_all_calls();
        }
        if (count < DISPATCHER_ENTRY_MAX) {
            dispatched_add(count);
        }
    }
}

static void users_share_an_entry(void **state)
{
    (void)state;
    dispatched_add(3);
    unsigned rounds = recorder.rounds;

    dispatched_add(3);
    dispatched_take_out(3);
    assert_int_equal(recorder.rounds, rounds); /* nothing to patch */
    dispatched_look();
    assert_int_equal(dispatched_view.count, 1);
    assert_int_equal(dispatched_view.references, 1);
    dispatched_take_out(3);
    dispatched_look();
    assert_int_equal(dispatched_view.count, 0);
    assert_ptr_equal(static_call_target(dispatcher_subject.entry), __x86_indirect_thunk_rdx);
}

static void one_takes_the_place_of_another_in_one_batch(void **state)
{
    (void)state;
    dispatched_add_first(DISPATCHER_ENTRY_MAX);
    dispatched_look();
    uint64_t updates = dispatched_view.statistics.updates;

    assert_int_equal(
        dispatcher_update(&dispatcher_subject, dispatched_program(5), dispatched_program(64), NULL),
        PATCH_OK);
    dispatched_look();
    assert_int_equal(dispatched_view.count, DISPATCHER_ENTRY_MAX);
    assert_int_equal(dispatched_view.statistics.updates, updates + 1);
    dispatched_expect_all_calls();
}

static void one_takes_its_own_place_and_keeps_its_rank(void **state)
{
    (void)state;
    dispatched_add_first(2);
    dispatched_begin();
    assert_int_equal(
        dispatcher_update(&dispatcher_subject, dispatched_program(0), dispatched_program(0), NULL),
        PATCH_OK);
    assert_int_equal(recorder.writes, 0);
    dispatched_look();
    assert_int_equal(dispatched_view.hottest[0], 0);
}

static void a_full_dispatcher_refuses_and_goes_on(void **state)
{
    struct patch_error error;

    (void)state;
    dispatched_add_first(DISPATCHER_ENTRY_MAX);
    dispatched_begin();
    assert_int_equal(dispatcher_update(&dispatcher_subject, NULL, dispatched_program(64), &error),
                     PATCH_ERR_NO_SLOT);
    assert_ptr_equal(error.address, dispatched_program(64));
    assert_string_equal(error.name, "subject");
    assert_int_equal(recorder.writes, 0);
    dispatched_look();
    assert_int_equal(dispatched_view.statistics.refused, 1);
    dispatched_expect_all_calls();
    dispatched_add(7); /* another user of one that is there */
    dispatched_take_out(7);
}

static void what_is_not_there_cannot_go(void **state)
{
    struct patch_error error;

    (void)state;
    dispatched_add(1);
    dispatched_begin();
    assert_int_equal(dispatcher_update(&dispatcher_subject, dispatched_program(2),
                                       dispatched_program(3), &error),
                     PATCH_ERR_NO_ENTRY);
    assert_ptr_equal(error.address, dispatched_program(2));
    assert_int_equal(recorder.writes, 0);
    dispatched_look();
    assert_int_equal(dispatched_view.count, 1);
}

static void far_programs_are_refused_in_every_shape(void **state)
{
    static const uint64_t far[] = {0x7f0000000000, 0x100000000, 0xffffffff80000000};
    struct patch_error error;

    (void)state;
    dispatched_add(1);
    for (enum dispatcher_shape shape = 0; shape < DISPATCHER_SHAPE_COUNT; shape++) {
        dispatched_shape_set(shape);
        dispatched_begin();
        for (unsigned i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
            assert_int_equal(
                dispatcher_update(&dispatcher_subject, NULL, (dispatched_function *)far[i], &error),
                PATCH_ERR_RANGE);
            assert_int_equal(error.address, far[i]);
        }
        assert_int_equal(recorder.writes, 0);
    }
}

static void no_thread_no_update(void **state)
{
    (void)state;
    recorder.may_patch = false;
    assert_int_equal(dispatcher_update(&dispatcher_subject, NULL, dispatched_program(1), NULL),
                     PATCH_ERR_CONTEXT);
    recorder.may_patch = true;
}

static void a_shape_that_is_the_same_code_costs_nothing(void **state)
{
    (void)state;
    dispatched_add(0);
    dispatched_begin();
    dispatched_shape_set(DISPATCHER_LINEAR);
    dispatched_shape_set(DISPATCHER_HOT1);
    assert_int_equal(recorder.writes, 0);
    dispatched_look();
    assert_int_equal(dispatched_view.shape, DISPATCHER_HOT1);
}

static void ranks_decide_who_is_compared_first(void **state)
{
    const uint64_t hottest[] = {(uint64_t)dispatched_program(2), 12345,
                                (uint64_t)dispatched_program(2), (uint64_t)dispatched_program(1)};
    struct dispatcher_form form = dispatched_form_of(DISPATCHER_HOT1);

    (void)state;
    dispatched_add_first(3);
    form.hottest = hottest;
    form.hottest_count = sizeof(hottest) / sizeof(hottest[0]);
    assert_int_equal(dispatcher_set_form(&dispatcher_subject, &form, NULL), PATCH_OK);
    dispatched_look();
    assert_int_equal(dispatched_view.hottest[0], 2);
    assert_int_equal(dispatched_view.hottest[1], 1);
    assert_int_equal(dispatched_view.hottest[2], 0);
    int32_t compared;

    memcpy(&compared, (const uint8_t *)dispatched_view.image + 3, sizeof(compared));
    assert_ptr_equal((int64_t)compared, dispatched_program(2));
    dispatched_take_out(0); /* the numbers move down */
    dispatched_look();
    assert_int_equal(dispatched_view.hottest[0], 1);
    assert_int_equal(dispatched_view.hottest[1], 0);
    dispatched_expect_all_calls();
}

static void samplers_see_calls_and_pass_them_on(void **state)
{
    struct dispatcher_form form = dispatched_form_of(DISPATCHER_TREE);
    struct trial *trial = dispatcher_subject.trial;

    (void)state;
    dispatched_add_first(4);
    form.is_sampled = true;
    assert_int_equal(dispatcher_set_form(&dispatcher_subject, &form, NULL), PATCH_OK);
    trial_start(trial, TRIAL_ANY_CPU);
    dispatched_expect_all_calls();
    assert_int_equal(trial_stop(trial), DISPATCHED_PROGRAMS);
    for (unsigned i = 0; i < DISPATCHED_PROGRAMS; i++) {
        assert_ptr_equal(trial->samples[i].target, dispatched_program(i));
    }
    dispatched_add(4);
    dispatched_look();
    assert_true(dispatched_view.is_sampled); /* an update keeps the form */
    assert_ptr_equal(static_call_target(dispatcher_subject.sampled), dispatched_view.image);
    form.is_sampled = false;
    assert_int_equal(dispatcher_set_form(&dispatcher_subject, &form, NULL), PATCH_OK);
    assert_ptr_equal(static_call_target(dispatcher_subject.sampled), __x86_indirect_thunk_rdx);
    dispatched_expect_all_calls();
}

static void a_form_for_another_set_is_refused(void **state)
{
    struct dispatcher_form form = dispatched_form_of(DISPATCHER_LINEAR);
    struct patch_error error;

    (void)state;
    dispatched_add_first(3);
    dispatched_look();
    form.generation = dispatched_view.generation;
    dispatched_add(3);
    assert_int_equal(dispatcher_set_form(&dispatcher_subject, &form, &error), PATCH_ERR_IN_USE);
    form = dispatched_form_of(DISPATCHER_SHAPE_COUNT);
    assert_int_equal(dispatcher_set_form(&dispatcher_subject, &form, &error), PATCH_ERR_SHAPE);
    dispatched_look();
    assert_int_equal(dispatched_view.shape, DISPATCHER_TREE);
}

static void dispatchers_are_found_by_name(void **state)
{
    (void)state;
    assert_ptr_equal(dispatcher_find("subject"), &dispatcher_subject);
    assert_null(dispatcher_find("other"));
    assert_ptr_equal(dispatcher_at(0), &dispatcher_subject);
    assert_null(dispatcher_at(1));
}

static const struct CMUnitTest tests[] = {
    DISPATCHED_TEST(entries_are_reached_through_the_image),
    DISPATCHED_TEST(every_shape_and_size_reaches_every_program),
    DISPATCHED_TEST(users_share_an_entry),
    DISPATCHED_TEST(one_takes_the_place_of_another_in_one_batch),
    DISPATCHED_TEST(one_takes_its_own_place_and_keeps_its_rank),
    DISPATCHED_TEST(a_full_dispatcher_refuses_and_goes_on),
    DISPATCHED_TEST(what_is_not_there_cannot_go),
    DISPATCHED_TEST(far_programs_are_refused_in_every_shape),
    DISPATCHED_TEST(no_thread_no_update),
    DISPATCHED_TEST(a_shape_that_is_the_same_code_costs_nothing),
    DISPATCHED_TEST(ranks_decide_who_is_compared_first),
    DISPATCHED_TEST(samplers_see_calls_and_pass_them_on),
    DISPATCHED_TEST(a_form_for_another_set_is_refused),
    DISPATCHED_TEST(dispatchers_are_found_by_name),
};

HOST_TEST_MAIN(tests, dispatched_group_setup)
