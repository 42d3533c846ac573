// SPDX-License-Identifier: MIT
/* Lazy calls that get another target, are forgotten, or whose batches fail: text, target and
 * statistics before and behind. Detects a site that an update misses, a target that changes
 * although the batch failed, a site patched to a target of the past, a failing site that is tried
 * for ever or takes others with it. Could miss: what only two CPUs at once can show. */
#include "patching/lazy_call.h"

#include "patching/instruction.h"
#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/lazies.h"
#include "tests/host/recorder.h"

#include <string.h>

#define MANY_STUB lazy_call_data_lazy_many.stub

/* All of lazy_many may become a call of @target from now on. */
static void watch_many(unsigned (*target)(unsigned sum))
{
    lazies_watch(&lazy_call_data_lazy_many, (uint64_t)target);
}

static void update_changes_all_sites_found_in_one_batch(void **state)
{
    struct patch_record record;
    uint64_t newest;

    (void)state;
    lazy_run(20);
    assert_int_equal(lazy_pass_make().patched, 20);
    newest = patch_record_newest();
    watch_many(lazy_new);
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, NULL), PATCH_OK);
    recorder_expect_synced();
    assert_int_equal(patch_record_newest(), newest + 1);
    assert_true(patch_record_get(newest + 1, &record));
    assert_string_equal(record.who, "lazy_many");
    assert_int_equal(record.sites, 20);
    assert_int_equal(record.rounds, 3);
    assert_int_equal(lazy_run(LAZY_FUNCTIONS), LAZY_FUNCTIONS * LAZY_NEW_ONE);
    assert_ptr_equal(lazy_call_target(&lazy_call_data_lazy_many), lazy_new);
    lazy_expect_call(lazy_site_of(19), (uint64_t)lazy_new);
}

/* No site, no batch: the stub reads the target from memory. */
static void update_of_a_call_without_sites_is_free_and_complete(void **state)
{
    uint64_t newest = patch_record_newest();

    (void)state;
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, NULL), PATCH_OK);
    assert_int_equal(patch_record_newest(), newest);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(lazy_run(3), 3 * LAZY_NEW_ONE);
}

static void update_to_the_same_target_is_free(void **state)
{
    uint64_t newest;

    (void)state;
    lazy_run(3);
    lazy_pass_make();
    newest = patch_record_newest();
    assert_int_equal(lazy_call_update(lazy_many, lazy_old, NULL), PATCH_OK);
    assert_int_equal(patch_record_newest(), newest);
}

/* Reported under one target, patched under the next. */
static void site_found_before_an_update_and_patched_behind_it_gets_the_new_target(void **state)
{
    (void)state;
    lazy_run(3);
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, NULL), PATCH_OK);
    watch_many(lazy_new);
    assert_int_equal(lazy_pass_make().patched, 3);
    lazy_expect_call(lazy_site_of(2), (uint64_t)lazy_new);
    assert_int_equal(lazy_run(3), 3 * LAZY_NEW_ONE);
}

/* Left pending by a batch that failed: likewise. */
static void pending_site_gets_the_target_of_the_pass_that_patches_it(void **state)
{
    struct lazy_pass pass;

    (void)state;
    lazy_run(1);
    recorder.fail_write = 1;
    assert_int_equal(lazy_calls_patch_reported(&pass, NULL), PATCH_ERR_WRITE);
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, NULL), PATCH_OK);
    lazy_expect_call(lazy_site_of(0), MANY_STUB);
    watch_many(lazy_new);
    assert_int_equal(lazy_pass_make().patched, 1);
    lazy_expect_call(lazy_site_of(0), (uint64_t)lazy_new);
}

static void failed_update_leaves_text_and_target_as_they_were(void **state)
{
    struct patch_error error;

    (void)state;
    lazy_run(5);
    lazy_pass_make();
    watch_many(lazy_new);
    recorder.fail_write = recorder.writes + 8;
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, &error), PATCH_ERR_WRITE);
    assert_string_equal(error.name, "lazy_many");
    assert_ptr_equal(lazy_call_target(&lazy_call_data_lazy_many), lazy_old);
    assert_int_equal(lazy_run(8), 8 * LAZY_OLD_ONE); /* 3 of them through the stub */
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, &error), PATCH_OK);
}

static void bad_targets_are_refused(void **state)
{
    lazy_call_function *stub = (lazy_call_function *)MANY_STUB;
    lazy_call_function *far_away = (lazy_call_function *)(MANY_STUB + (3ull << 30));
    struct lazy_call *call = &lazy_call_data_lazy_many;
    struct patch_error error;

    (void)state;
    for (unsigned sites = 0; sites < 2; sites++) { /* the same, whether sites were found or not */
        assert_int_equal(lazy_call_set(call, NULL, &error), PATCH_ERR_NO_TARGET);
        assert_string_equal(error.name, "lazy_many");
        assert_int_equal(lazy_call_set(call, stub, NULL), PATCH_ERR_TARGET_IN_SITE);
        assert_int_equal(lazy_call_set(call, far_away, NULL), PATCH_ERR_RANGE);
        assert_int_equal(lazy_run(2), 2 * LAZY_OLD_ONE);
        lazy_pass_make();
    }
    watch_many(lazy_new);
    assert_int_equal(lazy_call_update(lazy_many, lazy_new, &error), PATCH_OK); /* no mark is left */
}

/* An image larger than a call reaches: the target is within reach of the stub, not of the site. */
static void site_out_of_reach_of_the_target_stays_indirect(void **state)
{
    struct lazy_pass pass;

    (void)state;
    lazy_run(2);
    lazy_call_data_lazy_many.target = (lazy_call_function *)(MANY_STUB + (3ull << 30));
    pass = lazy_pass_make();
    lazy_call_data_lazy_many.target = (lazy_call_function *)lazy_old;
    assert_int_equal(pass.found, 2);
    assert_int_equal(pass.pending, 0);
    assert_int_equal(lazy_statistics_of(&lazy_call_data_lazy_many).given_up, 2);
    assert_int_equal(lazy_run(2), 2 * LAZY_OLD_ONE);
    assert_int_equal(lazy_statistics_of(&lazy_call_data_lazy_many).slow_calls, 4);
}

static void transaction_changes_several_calls_in_one_batch(void **state)
{
    struct patch_change changes[] = {
        lazy_call_change_to(&lazy_call_data_lazy_many, (lazy_call_function *)lazy_new),
        lazy_call_change_to(&lazy_call_data_lazy_other, (lazy_call_function *)lazy_new),
    };
    struct patch_error error;
    uint64_t newest;

    (void)state;
    lazy_run(3);
    lazy_call_other(0);
    lazy_pass_make();
    newest = patch_record_newest();
    watch_many(lazy_new);
    lazies_watch(&lazy_call_data_lazy_other, (uint64_t)lazy_new);
    assert_int_equal(patch_transaction("both", changes, 2, &error), PATCH_OK);
    assert_int_equal(patch_record_newest(), newest + 1);
    assert_int_equal(lazy_call_other(lazy_run(3)), 4 * LAZY_NEW_ONE);

    changes[1] = changes[0];
    assert_int_equal(patch_transaction("twice", changes, 2, &error), PATCH_ERR_DUPLICATE);
    changes[1] = lazy_call_change_to(&lazy_call_data_lazy_other, NULL);
    changes[0].wanted = (uint64_t)lazy_old;
    assert_int_equal(patch_transaction("half", changes, 2, &error), PATCH_ERR_NO_TARGET);
    assert_int_equal(lazy_call_other(lazy_run(3)), 4 * LAZY_NEW_ONE);
}

static void forget_puts_the_stub_back_and_the_next_call_is_a_first_one(void **state)
{
    uint64_t newest;

    (void)state;
    lazy_run(10);
    lazy_pass_make();
    lazies_watch(&lazy_call_data_lazy_many, MANY_STUB);
    newest = patch_record_newest();
    assert_int_equal(lazy_call_forget(&lazy_call_data_lazy_many, NULL), PATCH_OK);
    assert_int_equal(patch_record_newest(), newest + 1);
    for (size_t i = 0; i < LAZY_FUNCTIONS; i++) {
        lazy_expect_call(lazy_site_of(i), MANY_STUB);
    }

    struct lazy_call_statistics statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    struct lazy_call_site site;

    assert_int_equal(statistics.sites, 0);
    assert_int_equal(statistics.slow_calls, 0);
    assert_int_equal(statistics.converged_ns, 0);
    assert_false(lazy_call_site_next(&lazy_call_data_lazy_many, 0, &site));

    watch_many(lazy_old);
    lazy_run(10);
    assert_int_equal(lazy_pass_make().found, 10);
    assert_int_equal(lazy_statistics_of(&lazy_call_data_lazy_many).patched, 10);
}

static void failed_forget_leaves_all_as_it_was(void **state)
{
    (void)state;
    lazy_run(3);
    lazy_pass_make();
    lazies_watch(&lazy_call_data_lazy_many, MANY_STUB);
    recorder.fail_write = recorder.writes + 2;
    assert_int_equal(lazy_call_forget(&lazy_call_data_lazy_many, NULL), PATCH_ERR_WRITE);
    assert_int_equal(lazy_statistics_of(&lazy_call_data_lazy_many).patched, 3);
    assert_int_equal(lazy_run(3), 3 * LAZY_OLD_ONE);
    assert_int_equal(lazy_statistics_of(&lazy_call_data_lazy_many).slow_calls, 3);
}

/* The batch names no site: all of them have had an attempt. */
static void failed_pass_keeps_sites_pending_and_is_tried_again(void **state)
{
    struct lazy_call_statistics statistics;
    struct patch_error error;
    struct lazy_pass pass;
    uint64_t newest;

    (void)state;
    lazy_run(3);
    recorder.silent_round = 1;
    assert_int_equal(lazy_calls_patch_reported(&pass, &error), PATCH_ERR_SILENT_CPU);
    assert_int_equal(error.cpu, RECORDER_SILENT_CPU);
    assert_int_equal(pass.pending, 3);
    assert_int_equal(pass.patched, 0);
    lazy_expect_call(lazy_site_of(0), MANY_STUB);

    assert_int_equal(lazy_run(3), 3 * LAZY_OLD_ONE); /* known: not reported again */
    statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    assert_int_equal(statistics.pending, 3);
    assert_int_equal(statistics.reported, 3);
    assert_int_equal(recorder.work_requests, 1);

    assert_int_equal(lazy_calls_patch_reported(&pass, &error), PATCH_ERR_SILENT_CPU);
    assert_int_equal(lazy_calls_patch_reported(&pass, NULL), PATCH_ERR_SILENT_CPU);
    assert_int_equal(pass.pending, 0); /* LAZY_ATTEMPTS_MAX: given up */
    newest = patch_record_newest();
    recorder.silent_round = 0;
    lazy_pass_make();
    assert_int_equal(patch_record_newest(), newest);
    statistics = lazy_statistics_of(&lazy_call_data_lazy_many);
    assert_int_equal(statistics.given_up, 3);
    assert_int_equal(statistics.sites, 3);
    assert_int_equal(lazy_run(3), 3 * LAZY_OLD_ONE);

    assert_int_equal(lazy_call_forget(&lazy_call_data_lazy_many, NULL), PATCH_OK); /* a new life */
    lazy_run(3);
    assert_int_equal(lazy_pass_make().patched, 3);
}

/* The first write of every batch is that of the lowest address: the same site each time, until it
 * is given up. */
static void site_that_cannot_be_written_does_not_take_others_with_it(void **state)
{
    struct lazy_pass pass;
    struct patch_error error;
    uint64_t culprit = 0;

    (void)state;
    lazy_run(3);
    for (unsigned attempt = 1; attempt <= LAZY_ATTEMPTS_MAX; attempt++) {
        recorder.fail_write = recorder.writes + 1;
        assert_int_equal(lazy_calls_patch_reported(&pass, &error), PATCH_ERR_WRITE);
        culprit = attempt == 1 ? error.address : culprit;
        assert_int_equal(error.address, culprit);
        assert_int_equal(pass.pending, attempt < LAZY_ATTEMPTS_MAX ? 3 : 2);
    }
    recorder.fail_write = 0;
    assert_int_equal(lazy_pass_make().patched, 2);
    for (size_t i = 0; i < 3; i++) {
        lazy_expect_call(lazy_site_of(i),
                         lazy_site_of(i) == culprit ? MANY_STUB : (uint64_t)lazy_old);
    }
    assert_int_equal(lazy_run(3), 3 * LAZY_OLD_ONE);
    assert_int_equal(lazy_statistics_of(&lazy_call_data_lazy_many).given_up, 1);
}

static void later_pass_patches_what_an_earlier_one_could_not(void **state)
{
    struct lazy_pass pass;

    (void)state;
    lazy_run(2);
    recorder.fail_write = recorder.writes + 3;
    assert_int_equal(lazy_calls_patch_reported(&pass, NULL), PATCH_ERR_WRITE);
    lazy_run(4); /* two more are found meanwhile */
    pass = lazy_pass_make();
    assert_int_equal(pass.found, 2);
    assert_int_equal(pass.patched, 4);
    recorder_expect_synced();
}

static const struct CMUnitTest tests[] = {
    LAZY_TEST(update_changes_all_sites_found_in_one_batch),
    LAZY_TEST(update_of_a_call_without_sites_is_free_and_complete),
    LAZY_TEST(update_to_the_same_target_is_free),
    LAZY_TEST(site_found_before_an_update_and_patched_behind_it_gets_the_new_target),
    LAZY_TEST(pending_site_gets_the_target_of_the_pass_that_patches_it),
    LAZY_TEST(failed_update_leaves_text_and_target_as_they_were),
    LAZY_TEST(bad_targets_are_refused),
    LAZY_TEST(site_out_of_reach_of_the_target_stays_indirect),
    LAZY_TEST(transaction_changes_several_calls_in_one_batch),
    LAZY_TEST(forget_puts_the_stub_back_and_the_next_call_is_a_first_one),
    LAZY_TEST(failed_forget_leaves_all_as_it_was),
    LAZY_TEST(failed_pass_keeps_sites_pending_and_is_tried_again),
    LAZY_TEST(site_that_cannot_be_written_does_not_take_others_with_it),
    LAZY_TEST(later_pass_patches_what_an_earlier_one_could_not),
};

HOST_TEST_MAIN(tests, lazies_group_setup)
