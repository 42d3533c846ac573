// SPDX-License-Identifier: MIT
/* One static key at a time: branches of this program are patched and executed. Detects branches
 * that do not do what their key says, and counts that go wrong. One thread: races are in
 * test_static_key_races.c. */
#include "tests/host/keys.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

static void branches_do_what_the_defaults_say(void **state)
{
    (void)state;
    EXPECT_EXECUTION(off_functions, 0);
    EXPECT_EXECUTION(on_functions, 1);
    EXPECT_EXECUTION(long_functions, 0);
    assert_int_equal(far_likely(), 0);
    assert_false(static_key_is_enabled(&key_off));
    assert_true(static_key_is_enabled(&key_on));
    assert_int_equal(static_key_count(&key_on), 1);
}

static void branches_have_the_length_that_was_asked_for(void **state)
{
    (void)state;
    assert_int_equal(key_off.site_count, 2);
    assert_int_equal(key_on.site_count, 2);
    assert_int_equal(key_long.site_count, 2);
    assert_int_equal(key_far.site_count, 1);
    assert_int_equal(a_key_without_branches.site_count, 0);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(key_off.sites[i].length, 2);
        assert_int_equal(key_long.sites[i].length, 5);
    }
    assert_int_equal(key_far.sites[0].length, 5);
    assert_true(key_off.sites[0].address < key_off.sites[1].address);
}

static void flipping_changes_what_is_executed_in_three_rounds(void **state)
{
    (void)state;
    assert_int_equal(static_key_enable(&key_off), PATCH_OK);
    assert_int_equal(recorder.rounds, 3);
    recorder_expect_synced();
    EXPECT_EXECUTION(off_functions, 1);
    EXPECT_EXECUTION(on_functions, 1);
    assert_int_equal(static_key_disable(&key_off), PATCH_OK);
    assert_int_equal(recorder.rounds, 6);
    EXPECT_EXECUTION(off_functions, 0);

    assert_int_equal(static_key_disable(&key_on), PATCH_OK);
    EXPECT_EXECUTION(on_functions, 0);
    assert_int_equal(static_key_enable(&key_long), PATCH_OK);
    EXPECT_EXECUTION(long_functions, 1);
    assert_int_equal(static_key_enable(&key_far), PATCH_OK);
    assert_int_equal(far_likely(), 1);
}

static void flipping_to_the_present_state_costs_nothing(void **state)
{
    (void)state;
    uint64_t newest = patch_record_newest();

    assert_int_equal(static_key_disable(&key_off), PATCH_OK);
    assert_int_equal(static_key_enable(&key_on), PATCH_OK);
    assert_int_equal(static_key_enable(&a_key_without_branches), PATCH_OK);
    assert_true(static_key_is_enabled(&a_key_without_branches));
    assert_int_equal(static_key_disable(&a_key_without_branches), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(static_key_count(&key_on), 1);
    assert_int_equal(patch_record_newest(), newest);
}

static void only_the_first_user_and_the_last_one_patch(void **state)
{
    (void)state;
    for (unsigned users = 1; users <= 4; users++) {
        assert_int_equal(static_key_increment(&key_off), PATCH_OK);
        assert_int_equal(static_key_count(&key_off), users);
        assert_int_equal(recorder.rounds, 3);
        EXPECT_EXECUTION(off_functions, 1);
    }
    assert_int_equal(static_key_disable(&key_off), PATCH_ERR_IN_USE);
    assert_int_equal(static_key_enable(&key_off), PATCH_OK);
    assert_int_equal(static_key_count(&key_off), 4);
    for (unsigned users = 4; users > 1; users--) {
        assert_int_equal(static_key_decrement(&key_off), PATCH_OK);
        assert_int_equal(recorder.rounds, 3);
        EXPECT_EXECUTION(off_functions, 1);
    }
    assert_int_equal(static_key_decrement(&key_off), PATCH_OK);
    assert_int_equal(recorder.rounds, 6);
    EXPECT_EXECUTION(off_functions, 0);
}

static void decrement_without_a_user_is_refused(void **state)
{
    (void)state;
    assert_int_equal(static_key_decrement(&key_off), PATCH_ERR_NOT_ENABLED);
    assert_int_equal(static_key_count(&key_off), 0);
    assert_int_equal(static_key_increment(&key_off), PATCH_OK);
    assert_int_equal(static_key_decrement(&key_off), PATCH_OK);
    assert_int_equal(static_key_decrement(&key_off), PATCH_ERR_NOT_ENABLED);
    EXPECT_EXECUTION(off_functions, 0);
}

static void increment_on_another_cpu(void)
{
    recorder.on_lock = NULL;
    assert_int_equal(static_key_increment(&key_on), PATCH_OK);
}

static void last_decrement_that_meets_an_increment_leaves_the_key_enabled(void **state)
{
    (void)state;
    recorder.on_lock = increment_on_another_cpu;
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
    assert_int_equal(static_key_count(&key_on), 1);

    recorder.on_lock = increment_on_another_cpu;
    assert_int_equal(static_key_disable(&key_on), PATCH_ERR_IN_USE);
    assert_int_equal(static_key_count(&key_on), 2);
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    EXPECT_EXECUTION(on_functions, 1);
}

static void too_many_users_are_refused(void **state)
{
    (void)state;
    key_on.count = INT32_MAX;
    assert_int_equal(static_key_increment(&key_on), PATCH_ERR_OVERFLOW);
    assert_int_equal(static_key_count(&key_on), INT32_MAX);
    key_on.count = 1;
}

/* While the first enable is in progress (count -1) the text is not enabled yet. */
static void count_during_first_enable(void)
{
    assert_false(static_key_is_enabled(&key_off));
    assert_int_equal(static_key_count(&key_off), 0);
    assert_int_equal(key_off.count, -1);
}

static void key_counts_as_enabled_only_when_all_text_is(void **state)
{
    (void)state;
    recorder.on_sync = count_during_first_enable;
    assert_int_equal(static_key_increment(&key_off), PATCH_OK);
    assert_true(static_key_is_enabled(&key_off));
}

static void keys_are_listed_by_name_and_found(void **state)
{
    (void)state;
    unsigned count = 0;

    for (struct static_key *key = static_key_first(); key != NULL; key = static_key_next(key)) {
        struct static_key *next = static_key_next(key);

        assert_true(next == NULL || strcmp(key->name, next->name) < 0);
        assert_ptr_equal(static_key_find(key->name), key);
        count++;
    }
    assert_int_equal(count, 5);
    assert_null(static_key_find("key"));
    assert_null(static_key_find("key_off_"));
    assert_null(static_key_find(""));
}

static const struct CMUnitTest tests[] = {
    KEY_TEST(branches_do_what_the_defaults_say),
    KEY_TEST(branches_have_the_length_that_was_asked_for),
    KEY_TEST(flipping_changes_what_is_executed_in_three_rounds),
    KEY_TEST(flipping_to_the_present_state_costs_nothing),
    KEY_TEST(only_the_first_user_and_the_last_one_patch),
    KEY_TEST(decrement_without_a_user_is_refused),
    KEY_TEST(last_decrement_that_meets_an_increment_leaves_the_key_enabled),
    KEY_TEST(too_many_users_are_refused),
    KEY_TEST(key_counts_as_enabled_only_when_all_text_is),
    KEY_TEST(keys_are_listed_by_name_and_found),
};

HOST_TEST_MAIN(tests, keys_group_setup)
