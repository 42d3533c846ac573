// SPDX-License-Identifier: MIT
/* Static calls and static keys that change together. Detects a transaction that does part of its
 * changes, leaves a mark on what it refused, takes more than one batch, or names the wrong culprit.
 * Could miss: what only other CPUs see of a batch (test_static_call_steps). */
#include "tests/host/calls.h"
#include "tests/host/keys.h"

#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <string.h>

/* Beyond the reach of any jump from this program's text, which lies low (-no-pie). */
#define FAR_AWAY ((static_call_function *)0x7fff00000000)

static struct patch_error error;

/* Two calls in both forms, and keys. */
enum { MIXED_CHANGES = 4 };

static void mixed_changes(struct patch_change changes[MIXED_CHANGES], bool on)
{
    enum call_state to = on ? STATE_B : STATE_A;

    changes[0] = static_call_change_to(call_plain->call, call_plain->targets[to]);
    changes[1] = static_key_change_to(&key_off, on);
    changes[2] = static_call_change_to(call_outer->call, call_outer->targets[to]);
    changes[3] = static_key_change_to(&key_on, !on);
}

static void mixed_begin(bool on)
{
    enum call_state to = on ? STATE_B : STATE_A;

    keys_begin();
    calls_watch(call_plain, STATIC_CALL_INLINE, to);
    calls_watch(call_outer, STATIC_CALL_OUT_OF_LINE, to);
}

static void mixed_expect(bool on)
{
    enum call_state to = on ? STATE_B : STATE_A;

    calls_expect_text(call_plain, STATIC_CALL_INLINE, to);
    calls_expect_execution(call_plain, to);
    calls_expect_text(call_outer, STATIC_CALL_OUT_OF_LINE, to);
    calls_expect_execution(call_outer, to);
    EXPECT_EXECUTION(off_functions, on);
    EXPECT_EXECUTION(on_functions, !on);
    assert_int_equal(static_key_count(&key_off), on);
    assert_int_equal(static_key_count(&key_on), !on);
}

static void transaction_changes_calls_and_keys_in_three_rounds(void **state)
{
    (void)state;
    struct patch_change changes[MIXED_CHANGES];
    struct patch_record record;

    for (unsigned on = 1; on <= 1; on--) {
        mixed_begin(on);
        mixed_changes(changes, on);
        assert_int_equal(patch_transaction("mixed", changes, MIXED_CHANGES, &error), PATCH_OK);
        recorder_expect_synced();
        assert_int_equal(recorder.rounds, 3);
        mixed_expect(on);
        assert_true(patch_record_get(patch_record_newest(), &record));
        assert_string_equal(record.who, "mixed");
        assert_int_equal(record.sites, CALLERS + 1 + 1 + 4);
    }
    assert_int_equal(patch_transaction("mixed", changes, MIXED_CHANGES, &error), PATCH_OK);
    assert_int_equal(recorder.rounds, 3); /* all there: free */
}

static void transaction_is_all_or_nothing_at_every_write(void **state)
{
    (void)state;
    struct patch_change changes[MIXED_CHANGES];
    unsigned writes;

    mixed_begin(true);
    mixed_changes(changes, true);
    assert_int_equal(patch_transaction("mixed", changes, MIXED_CHANGES, &error), PATCH_OK);
    writes = recorder.writes;
    mixed_begin(false);
    mixed_changes(changes, false);
    assert_int_equal(patch_transaction("mixed", changes, MIXED_CHANGES, &error), PATCH_OK);
    for (unsigned write = 1; write <= writes; write++) {
        mixed_begin(true);
        mixed_changes(changes, true);
        recorder.fail_write = write;
        assert_int_equal(patch_transaction("mixed", changes, MIXED_CHANGES, &error),
                         PATCH_ERR_WRITE);
        assert_non_null(error.name);
        assert_true(strcmp(error.name, "plain") == 0 || strcmp(error.name, "outer") == 0 ||
                    strcmp(error.name, "key_off") == 0 || strcmp(error.name, "key_on") == 0);
        mixed_expect(false);
    }
}

/* @last is refused: what stands before it must not have changed, nor be left marked. */
static void expect_transaction_refused(struct patch_change last, enum patch_status status)
{
    struct patch_change changes[MIXED_CHANGES + 1];

    mixed_changes(changes, true);
    changes[MIXED_CHANGES] = last;
    assert_int_equal(patch_transaction("t", changes, MIXED_CHANGES + 1, &error), status);
    assert_string_equal(error.name, last.name);
    assert_string_equal(recorder_log(), "");
    mixed_expect(false);
    for (unsigned i = 0; i < MIXED_CHANGES; i++) { /* in the middle as well */
        struct patch_change swapped = changes[i];

        changes[i] = last;
        changes[MIXED_CHANGES] = swapped;
        assert_int_equal(patch_transaction("t", changes, MIXED_CHANGES + 1, &error), status);
        mixed_expect(false);
        changes[i] = swapped;
        changes[MIXED_CHANGES] = last;
    }
    assert_string_equal(recorder_log(), "");
}

static void transaction_with_a_refusal_changes_nothing(void **state)
{
    (void)state;
    struct static_call *plain = call_plain->call;

    expect_transaction_refused(static_call_change_to(plain, call_plain->targets[STATE_B]),
                               PATCH_ERR_DUPLICATE);
    /* To where it goes already: no site of it would stand in the batch twice. */
    expect_transaction_refused(static_call_change_to(plain, call_plain->targets[STATE_A]),
                               PATCH_ERR_DUPLICATE);
    expect_transaction_refused(static_call_change_to(call_zero->call, FAR_AWAY), PATCH_ERR_RANGE);
    expect_transaction_refused(static_call_change_to(plain, NULL), PATCH_ERR_NO_TARGET);
    expect_transaction_refused(
        static_call_change_to(call_zero->call, (static_call_function *)call_zero->call->trampoline),
        PATCH_ERR_TARGET_IN_SITE);
    expect_transaction_refused(static_key_change_to(&key_on, false), PATCH_ERR_DUPLICATE);
}

/* The target of one call lies in a site of the other: only the batch knows. */
static void target_inside_a_site_of_another_call_is_refused(void **state)
{
    (void)state;
    uint64_t inside = call_zero->call->sites[0].address + 1;
    struct patch_change changes[] = {
        static_call_change_to(call_plain->call, (static_call_function *)inside),
        static_call_change_to(call_zero->call, call_zero->targets[STATE_A]),
    };

    assert_int_equal(patch_transaction("t", changes, 2, &error), PATCH_ERR_TARGET_IN_SITE);
    assert_string_equal(error.name, "plain");
    assert_string_equal(recorder_log(), "");
    calls_expect_text(call_plain, STATIC_CALL_INLINE, STATE_A);
    calls_expect_text(call_zero, STATIC_CALL_FORM_DEFAULT, STATE_EMPTY);
}

static int group_setup(void **state)
{
    return calls_group_setup(state) != 0 || keys_group_setup(state) != 0 ? -1 : 0;
}

static int teardown(void **state)
{
    return keys_teardown(state) != 0 || calls_teardown(state) != 0 ? -1 : 0;
}

#undef CALL_TEST
#define CALL_TEST(function) cmocka_unit_test_setup_teardown(function, calls_setup, teardown)

static const struct CMUnitTest tests[] = {
    CALL_TEST(transaction_changes_calls_and_keys_in_three_rounds),
    CALL_TEST(transaction_is_all_or_nothing_at_every_write),
    CALL_TEST(transaction_with_a_refusal_changes_nothing),
    CALL_TEST(target_inside_a_site_of_another_call_is_refused),
};

HOST_TEST_MAIN(tests, group_setup)
