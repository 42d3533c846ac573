// SPDX-License-Identifier: MIT
/* Static keys, really compiled and really executed: the branches of this program are patched, under
 * the recorder's eyes, and run. Detects branches that do not do what their key says, counts that go
 * wrong with a failure, records, plans and transactions that lie. One thread: races are in
 * test_static_key_races.c. */
#include "patching/static_key.h"

#include "patching/instruction.h"
#include "patching/platform.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

DEFINE_STATIC_KEY_FALSE(key_off);
DEFINE_STATIC_KEY_TRUE(key_on);
DEFINE_STATIC_KEY_FALSE(key_far);
DEFINE_STATIC_KEY_FALSE(key_long);
DEFINE_STATIC_KEY_FALSE(a_key_without_branches);

/* Every function returns 1 if its key's branch was taken as enabled, 0 if not. */
#define BRANCH_FUNCTION(name, branch, key)                                                         \
    __attribute__((noinline)) static int name(void)                                                \
    {                                                                                              \
        __asm__ volatile("");                                                                      \
        if (branch(&(key))) {                                                                      \
            __asm__ volatile("nop");                                                               \
            return 1;                                                                              \
        }                                                                                          \
        __asm__ volatile("");                                                                      \
        return 0;                                                                                  \
    }

BRANCH_FUNCTION(off_likely, static_branch_likely, key_off)
BRANCH_FUNCTION(off_unlikely, static_branch_unlikely, key_off)
BRANCH_FUNCTION(on_likely, static_branch_likely, key_on)
BRANCH_FUNCTION(on_unlikely, static_branch_unlikely, key_on)
BRANCH_FUNCTION(long_likely, static_branch_likely_long, key_long)
BRANCH_FUNCTION(long_unlikely, static_branch_unlikely_long, key_long)

/* Too far for a jump of two bytes: the assembler must choose five. */
__attribute__((noinline)) static int far_likely(void)
{
    if (static_branch_likely(&key_far)) {
        __asm__ volatile(".skip 200, 0x90");
        return 1;
    }
    return 0;
}

static int (*const off_functions[])(void) = {off_likely, off_unlikely};
static int (*const on_functions[])(void) = {on_likely, on_unlikely};
static int (*const long_functions[])(void) = {long_likely, long_unlikely};

static void expect_execution(int (*const *functions)(void), size_t count, int expected)
{
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(functions[i](), expected);
    }
}

#define EXPECT_EXECUTION(functions, expected)                                                      \
    expect_execution(functions, ARRAY_COUNT(functions), expected)

/* Watches every branch of this program in its two forms. */
static void watch_all_sites(void)
{
    for (struct static_key_site *site = static_key_sites_start; site < static_key_sites_end;
         site++) {
        size_t length =
            *(const uint8_t *)site->address == INSN_JMP8 || *(const uint8_t *)site->address == 0x66
                ? 2
                : 5;
        struct instruction nop = {.kind = INSTRUCTION_NOP, .length = (uint8_t)length};
        struct instruction jump = {
            .kind = INSTRUCTION_JUMP, .length = (uint8_t)length, .target = site->target};
        uint8_t bytes[2][PATCH_SITE_LENGTH_MAX];
        bool jumps_now;

        assert_int_equal(instruction_encode(&nop, site->address, bytes[0]), PATCH_OK);
        assert_int_equal(instruction_encode(&jump, site->address, bytes[1]), PATCH_OK);
        jumps_now = memcmp((const void *)site->address, bytes[1], length) == 0;
        recorder_watch(site->address, bytes[jumps_now], bytes[!jumps_now], length);
    }
}

static void begin(void)
{
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    watch_all_sites();
}

static int setup(void **state)
{
    (void)state;
    begin();
    return 0;
}

/* Puts the keys back; a test that failed may have left any count behind. */
static int teardown(void **state)
{
    (void)state;
    begin();
    return static_key_disable(&key_off) != PATCH_OK || static_key_enable(&key_on) != PATCH_OK ||
           static_key_disable(&key_long) != PATCH_OK || static_key_disable(&key_far) != PATCH_OK;
}

static int group_setup(void **state)
{
    (void)state;
    struct patch_error error;

    if (own_text_unprotect() != 0) {
        return -1;
    }
    begin();
    recorder.early_boot = true;
    if (static_key_enable(&key_off) != PATCH_ERR_NOT_INITIALIZED) {
        return -1;
    }
    return static_key_initialize(&error) == PATCH_OK && recorder.syncs == 1 ? 0 : -1;
}

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
    assert_int_equal(recorder.syncs, 3);
    recorder_expect_synced();
    EXPECT_EXECUTION(off_functions, 1);
    EXPECT_EXECUTION(on_functions, 1);
    assert_int_equal(static_key_disable(&key_off), PATCH_OK);
    assert_int_equal(recorder.syncs, 6);
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
        assert_int_equal(recorder.syncs, 3);
        EXPECT_EXECUTION(off_functions, 1);
    }
    assert_int_equal(static_key_disable(&key_off), PATCH_ERR_IN_USE);
    assert_int_equal(static_key_enable(&key_off), PATCH_OK);
    assert_int_equal(static_key_count(&key_off), 4);
    for (unsigned users = 4; users > 1; users--) {
        assert_int_equal(static_key_decrement(&key_off), PATCH_OK);
        assert_int_equal(recorder.syncs, 3);
        EXPECT_EXECUTION(off_functions, 1);
    }
    assert_int_equal(static_key_decrement(&key_off), PATCH_OK);
    assert_int_equal(recorder.syncs, 6);
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

static void failed_flip_leaves_text_and_count(void **state)
{
    (void)state;
    for (unsigned write = 1; write <= 6; write++) {
        begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_enable(&key_off), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_off), 0);
        EXPECT_EXECUTION(off_functions, 0);

        begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_increment(&key_off), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_off), 0);

        begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_disable(&key_on), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_on), 1);
        EXPECT_EXECUTION(on_functions, 1);

        begin();
        recorder.fail_write = write;
        assert_int_equal(static_key_decrement(&key_on), PATCH_ERR_WRITE);
        assert_int_equal(static_key_count(&key_on), 1);
    }
    begin();
    assert_int_equal(static_key_enable(&key_off), PATCH_OK);
    EXPECT_EXECUTION(off_functions, 1);
}

static void wrong_context_is_refused(void **state)
{
    (void)state;
    struct patch_error error;
    const struct static_key_change change = {&key_off, true};
    struct static_key_plan plan;

    recorder.may_patch = false;
    assert_int_equal(static_key_enable(&key_off), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_disable(&key_on), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_increment(&key_off), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_decrement(&key_on), PATCH_ERR_CONTEXT);
    assert_int_equal(static_key_transaction("t", &change, 1, &error), PATCH_ERR_CONTEXT);
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
    const struct static_key_change changes[] = {
        {&key_long, true },
        {&key_off,  true },
        {&key_on,   false},
        {&key_far,  false}, /* as it is */
    };
    struct patch_record record;

    assert_int_equal(static_key_transaction("several", changes, 4, NULL), PATCH_OK);
    assert_int_equal(recorder.syncs, 3);
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
    const struct static_key_change changes[] = {
        {&key_long, true },
        {&key_off,  false},
        {&key_on,   false},
    };
    struct patch_error error;

    assert_int_equal(static_key_increment(&key_on), PATCH_OK); /* now it has two users */
    assert_int_equal(static_key_transaction("t", changes, 3, &error), PATCH_ERR_IN_USE);
    assert_string_equal(error.name, "key_on");
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
    assert_string_equal(recorder_log(), "");

    recorder.fail_write = 9;
    assert_int_equal(static_key_transaction("t", changes, 3, &error), PATCH_ERR_WRITE);
    assert_true(strcmp(error.name, "key_on") == 0 || strcmp(error.name, "key_long") == 0);
    assert_int_equal(static_key_count(&key_long), 0);
    assert_int_equal(static_key_count(&key_on), 1);
    EXPECT_EXECUTION(long_functions, 0);
    EXPECT_EXECUTION(on_functions, 1);
}

static void transaction_refuses_a_key_twice_and_no_key(void **state)
{
    (void)state;
    const struct static_key_change twice[] = {
        {&key_off, true },
        {&key_on,  true },
        {&key_off, false},
    };
    struct patch_error error;

    assert_int_equal(static_key_transaction("t", twice, 3, &error), PATCH_ERR_DUPLICATE);
    assert_string_equal(error.name, "key_off");
    assert_int_equal(static_key_transaction("t", twice, 0, &error), PATCH_ERR_EMPTY);
    assert_int_equal(static_key_count(&key_off), 0);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(static_key_transaction("t", twice, 2, &error), PATCH_OK);
}

static void key_with_4097_branches_is_refused(void **state)
{
    (void)state;
    static struct static_key_site many[PATCH_BATCH_MAX + 1];
    struct static_key crowd = {.name = "crowd", .sites = many, .site_count = PATCH_BATCH_MAX + 1};
    const struct static_key_change change = {&crowd, true};
    struct patch_error error;

    for (size_t i = 0; i < ARRAY_COUNT(many); i++) {
        many[i] = (struct static_key_site){own_text_start() + 8 * i, own_text_start(), 0, 5};
    }
    assert_int_equal(static_key_transaction("t", &change, 1, &error), PATCH_ERR_FULL);
    assert_string_equal(error.name, "crowd");
    assert_int_equal(static_key_count(&crowd), 0);
    assert_string_equal(recorder_log(), "");
}

static void foreign_bytes_at_a_branch_are_refused_and_named(void **state)
{
    (void)state;
    uint8_t *text = (uint8_t *)key_off.sites[1].address;
    const struct static_key_change change = {&key_off, true};
    struct patch_error error;
    uint8_t saved = text[1];

    text[1] ^= 1;
    assert_int_equal(static_key_transaction("t", &change, 1, &error), PATCH_ERR_UNEXPECTED);
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
    struct static_key_plan plan;

    assert_int_equal(static_key_plan(&key_long, true, visit, &log, &plan, NULL), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    assert_false(static_key_is_enabled(&key_long));
    assert_int_equal(plan.sites, 2);
    assert_int_equal(log.count, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal((void *)log.sites[i].address, log.sites[i].old_bytes, 5);
    }
    assert_int_equal(static_key_enable(&key_long), PATCH_OK);
    assert_int_equal(plan.rounds, recorder.syncs);
    assert_int_equal(plan.ipis, recorder.syncs * 3);
    for (unsigned i = 0; i < 2; i++) {
        assert_memory_equal((void *)log.sites[i].address, log.sites[i].new_bytes, 5);
    }
}

static void plan_of_the_present_state_is_empty(void **state)
{
    (void)state;
    struct visit_log log = {0};
    struct static_key_plan plan;

    assert_int_equal(static_key_plan(&key_on, true, visit, &log, &plan, NULL), PATCH_OK);
    assert_int_equal(log.count, 0);
    assert_int_equal(plan.sites, 0);
    assert_int_equal(plan.rounds, 0);
    assert_int_equal(plan.ipis, 0);
}

static void plan_refuses_what_the_flip_would_refuse(void **state)
{
    (void)state;
    struct static_key_plan plan;
    struct patch_error error;

    assert_int_equal(static_key_increment(&key_on), PATCH_OK);
    assert_int_equal(static_key_plan(&key_on, false, visit, NULL, &plan, &error), PATCH_ERR_IN_USE);
    assert_string_equal(error.name, "key_on");
    assert_int_equal(static_key_decrement(&key_on), PATCH_OK);
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

#define KEY_TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

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
    KEY_TEST(failed_flip_leaves_text_and_count),
    KEY_TEST(wrong_context_is_refused),
    KEY_TEST(transaction_flips_many_keys_in_three_rounds),
    KEY_TEST(transaction_is_all_or_nothing),
    KEY_TEST(transaction_refuses_a_key_twice_and_no_key),
    KEY_TEST(key_with_4097_branches_is_refused),
    KEY_TEST(foreign_bytes_at_a_branch_are_refused_and_named),
    KEY_TEST(record_names_key_and_caller),
    KEY_TEST(plan_shows_byte_for_byte_what_the_flip_does),
    KEY_TEST(plan_of_the_present_state_is_empty),
    KEY_TEST(plan_refuses_what_the_flip_would_refuse),
    KEY_TEST(keys_are_listed_by_name_and_found),
};

HOST_TEST_MAIN(tests, group_setup)
