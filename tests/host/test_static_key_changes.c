// SPDX-License-Identifier: MIT
/* Changes of static keys that fail, transactions, records and plans, and keys with an owner.
 * Detects counts and text that come apart when a flip fails, a plan or a record that lies, and
 * anybody but the owner who flips an owned key. */
#include "tests/host/keys.h"

#include "patching/platform.h"
#include "patching/poke.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

DEFINE_STATIC_KEY_OWNED(key_owned, "this test", false);

__attribute__((noinline)) static int owned_branch(void)
{
    __asm__ volatile("");
    return static_branch_unlikely(&key_owned) ? 1 : 0;
}

static void failed_flip_leaves_text_and_count(void **state)
{
    (void)state;
    for (unsigned write = 1; write <= 6; write++) {
        keys_begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_enable(&key_off), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_off), 0);
        EXPECT_EXECUTION(off_functions, 0);

        keys_begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_increment(&key_off), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_off), 0);

        keys_begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_disable(&key_on), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_on), 1);
        EXPECT_EXECUTION(on_functions, 1);

        keys_begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_decrement(&key_on), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_on), 1);
    }
    keys_begin();
    assert_int_equal(static_key_enable(&key_off), PATCH_OK);
    EXPECT_EXECUTION(off_functions, 1);
}

static void wrong_context_is_refused(void **state)
{
    (void)state;
    struct patch_error error;
    struct patch_change change = static_key_change_to(&key_off, true);
    struct patch_plan plan;

    recorder.may_patch = false;
    assert_int_equal(static_key_enable(&key_off), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_disable(&key_on), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_increment(&key_off), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_decrement(&key_on), PATCH_ERR_CONTEXT);
    assert_int_equal(patch_transaction("t", &change, 1, &error), PATCH_ERR_CONTEXT);
    assert_int_equal(error.status, PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_plan(&key_off, true, NULL, NULL, &plan, &error), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_increment(&key_on), PATCH_OK); /* changes no text: allowed */
    recorder.may_patch = true;
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
    assert_int_equal(static_key_count(&key_off), 0);
}

static void transaction_flips_many_keys_in_three_rounds(void **state)
{
    (void)state;
    struct patch_change changes[] = {
        static_key_change_to(&key_long, true), static_key_change_to(&key_off, true),
        static_key_change_to(&key_on, false), static_key_change_to(&key_far, false), /* as it is */
    };
    struct patch_record record;

    assert_int_equal(patch_transaction("several", changes, 4, NULL), PATCH_OK);
    assert_int_equal(recorder.rounds, 3);
    EXPECT_EXECUTION(long_functions, 1);
    EXPECT_EXECUTION(off_functions, 1);
    EXPECT_EXECUTION(on_functions, 0);
    assert_int_equal(far_likely(), 0);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_string_equal(record.who, "several");
    assert_int_equal(record.sites, 6);
}

static void transaction_is_all_or_nothing(void **state)
{
    (void)state;
    struct patch_change changes[] = {
        static_key_change_to(&key_long, true),
        static_key_change_to(&key_off, false),
        static_key_change_to(&key_on, false),
    };
    struct patch_error error;

    assert_int_equal(static_key_increment(&key_on), PATCH_OK); /* now it has two users */
    assert_int_equal(patch_transaction("t", changes, 3, &error), PATCH_ERR_IN_USE);
    assert_string_equal(error.name, "key_on");
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
    assert_string_equal(recorder_log(), "");

    recorder.fail_write = 9;
    assert_int_equal(patch_transaction("t", changes, 3, &error), PATCH_ERR_WRITE);
    assert_true(strcmp(error.name, "key_on") == 0 || strcmp(error.name, "key_long") == 0);
    assert_int_equal(static_key_count(&key_long), 0);
    assert_int_equal(static_key_count(&key_on), 1);
    EXPECT_EXECUTION(long_functions, 0);
    EXPECT_EXECUTION(on_functions, 1);
}

static void transaction_refuses_a_key_twice_and_no_key(void **state)
{
    (void)state;
    struct patch_change twice[] = {
        static_key_change_to(&key_off, true),
        static_key_change_to(&key_on, true),
        static_key_change_to(&key_off, false),
    };
    struct patch_error error;

    assert_int_equal(patch_transaction("t", twice, 3, &error), PATCH_ERR_DUPLICATE);
    assert_string_equal(error.name, "key_off");
    assert_int_equal(patch_transaction("t", twice, 0, &error), PATCH_ERR_EMPTY);
    assert_int_equal(static_key_count(&key_off), 0);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(patch_transaction("t", twice, 2, &error), PATCH_OK);
}

static void key_with_4097_branches_is_refused(void **state)
{
    (void)state;
    static struct static_key_site many[PATCH_BATCH_MAX + 1];
    struct static_key crowd = {.name = "crowd", .sites = many, .site_count = PATCH_BATCH_MAX + 1};
    struct patch_change change = static_key_change_to(&crowd, true);
    struct patch_error error;

    for (size_t i = 0; i < ARRAY_COUNT(many); i++) {
        many[i] = (struct static_key_site){own_text_start() + 8 * i, own_text_start(), 0, 5};
    }
    assert_int_equal(patch_transaction("t", &change, 1, &error), PATCH_ERR_FULL);
    assert_string_equal(error.name, "crowd");
    assert_int_equal(static_key_count(&crowd), 0);
    assert_string_equal(recorder_log(), "");
}

static void foreign_bytes_at_a_branch_are_refused_and_named(void **state)
{
    (void)state;
    uint8_t *text = (uint8_t *)key_off.sites[1].address;
    struct patch_change change = static_key_change_to(&key_off, true);
    struct patch_error error;
    uint8_t saved = text[1];

    text[1] ^= 1;
    assert_int_equal(patch_transaction("t", &change, 1, &error), PATCH_ERR_UNEXPECTED);
    text[1] = saved;
    assert_string_equal(error.name, "key_off");
    assert_int_equal(error.address, text);
    assert_string_equal(recorder_log(), "");
    EXPECT_EXECUTION(off_functions, 0);
}

/* noinline: the record must name this function as the caller. */
__attribute__((noinline)) static enum patch_status enable_from_here(struct static_key *key)
{
    enum patch_status status = static_key_enable(key);

    __asm__ volatile("" ::: "memory"); /* no tail call */
    return status;
}

static void record_names_key_and_caller(void **state)
{
    (void)state;
    struct patch_record record;

    assert_int_equal(enable_from_here(&key_off), PATCH_OK);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_string_equal(record.who, "key_off");
    assert_in_range(record.caller, (uint64_t)enable_from_here, (uint64_t)enable_from_here + 64);
    assert_int_equal(record.sites, 2);
    assert_int_equal(record.rounds, 3);
    assert_int_equal(record.traps, recorder.traps);
}

static void owned_expect(bool on)
{
    assert_int_equal(owned_branch(), on);
    assert_int_equal(static_key_count(&key_owned), on);
    assert_true(static_key_is_enabled(&key_owned) == on);
}

static void owned_change(bool on)
{
    struct patch_change change = static_key_change_to(&key_owned, on);

    assert_int_equal(patch_transaction("owner", &change, 1, NULL), PATCH_OK);
    owned_expect(on);
}

static void owned_refuses(bool on)
{
    keys_begin();
    assert_int_equal(static_key_enable(&key_owned), PATCH_ERR_OWNED);
    assert_int_equal(static_key_disable(&key_owned), PATCH_ERR_OWNED);
    assert_int_equal(static_key_increment(&key_owned), PATCH_ERR_OWNED);
    assert_int_equal(static_key_decrement(&key_owned), PATCH_ERR_OWNED);
    assert_string_equal(recorder_log(), "");
    assert_false(platform_lock_is_held());
    owned_expect(on);
}

static void key_with_an_owner_is_flipped_by_transactions_alone(void **state)
{
    (void)state;
    owned_refuses(false);
    owned_change(true);
    owned_refuses(true);
    owned_change(false);
    owned_refuses(false);
}

/* The watcher knows the branches of one key as last ones, and sees the rest. */
static void change_that_is_last_comes_behind_the_others(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < PATCH_PROTOCOL_NAIVE; protocol++) {
        for (unsigned on = 1; on < 2; on--) {
            struct patch_change changes[] = {
                static_key_change_to(&key_owned, on),
                static_key_change_to(&key_long, on),
                static_key_change_to(&key_off, on),
            };

            keys_begin();
            assert_int_equal(patch_protocol_set_default(protocol, 0), PATCH_OK);
            changes[0].is_last = true;
            for (uint32_t i = 0; i < key_owned.site_count; i++) {
                recorder_watch_as_last(key_owned.sites[i].address);
            }
            assert_int_equal(patch_transaction("ordered", changes, 3, NULL), PATCH_OK);
            owned_expect(on);
            EXPECT_EXECUTION(long_functions, (int)on);
            EXPECT_EXECUTION(off_functions, (int)on);
        }
    }
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
}

struct visit_log {
    unsigned count;
    struct patch_site sites[8];
};

static void visit(void *context, const struct patch_site *site)
{
    struct visit_log *log = context;

    log->sites[log->count++] = *site;
}

static void plan_shows_byte_for_byte_what_the_flip_does(void **state)
{
    (void)state;
    struct visit_log log = {0};
    struct patch_plan plan;

    assert_int_equal(static_key_plan(&key_long, true, visit, &log, &plan, NULL), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    assert_false(static_key_is_enabled(&key_long));
    assert_int_equal(plan.sites, 2);
    assert_int_equal(log.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal((void *)log.sites[i].address, log.sites[i].old_bytes, 5);
    }
    assert_int_equal(static_key_enable(&key_long), PATCH_OK);
    assert_int_equal(plan.rounds, recorder.rounds);
    assert_int_equal(plan.ipis, recorder.rounds * 3);
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal((void *)log.sites[i].address, log.sites[i].new_bytes, 5);
    }
}

static void plan_of_the_present_state_is_empty(void **state)
{
    (void)state;
    struct visit_log log = {0};
    struct patch_plan plan;

    assert_int_equal(static_key_plan(&key_on, true, visit, &log, &plan, NULL), PATCH_OK);
    assert_int_equal(log.count, 0);
    assert_int_equal(plan.sites, 0);
    assert_int_equal(plan.rounds, 0);
    assert_int_equal(plan.ipis, 0);
}

static void plan_refuses_what_the_flip_would_refuse(void **state)
{
    (void)state;
    struct patch_plan plan;
    struct patch_error error;

    assert_int_equal(static_key_increment(&key_on), PATCH_OK);
    assert_int_equal(static_key_plan(&key_on, false, visit, NULL, &plan, &error), PATCH_ERR_IN_USE);
    assert_string_equal(error.name, "key_on");
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
}

static const struct CMUnitTest tests[] = {
    KEY_TEST(failed_flip_leaves_text_and_count),
    KEY_TEST(wrong_context_is_refused),
    KEY_TEST(transaction_flips_many_keys_in_three_rounds),
    KEY_TEST(transaction_is_all_or_nothing),
    KEY_TEST(transaction_refuses_a_key_twice_and_no_key),
    KEY_TEST(key_with_4097_branches_is_refused),
    KEY_TEST(foreign_bytes_at_a_branch_are_refused_and_named),
    KEY_TEST(record_names_key_and_caller),
    KEY_TEST(key_with_an_owner_is_flipped_by_transactions_alone),
    KEY_TEST(change_that_is_last_comes_behind_the_others),
    KEY_TEST(plan_shows_byte_for_byte_what_the_flip_does),
    KEY_TEST(plan_of_the_present_state_is_empty),
    KEY_TEST(plan_refuses_what_the_flip_would_refuse),
};

HOST_TEST_MAIN(tests, keys_group_setup)
