// SPDX-License-Identifier: MIT
/* Tables that static_key_initialize() must refuse before it writes a byte. Each test spoils one
 * entry, sees the refusal name it, and puts the entry back; the last one lets
 * initialize succeed. */
#include "patching/static_key.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

DEFINE_STATIC_KEY_FALSE(first);
DEFINE_STATIC_KEY_TRUE(second);

__attribute__((noinline)) static int first_branch(void)
{
    return static_branch_unlikely(&first) ? 1 : 0;
}

__attribute__((noinline)) static int second_branch(void)
{
    return static_branch_likely_long(&second) ? 1 : 0;
}

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    recorder.text_start = own_text_start();
    recorder.text_end = own_text_end();
    return 0;
}

static void expect_refusal(enum patch_status status, const char *name, uint64_t address)
{
    struct patch_error error;

    assert_int_equal(static_key_initialize(&error), status);
    assert_int_equal(error.status, status);
    assert_string_equal(error.name, name);
    assert_int_equal(error.address, address);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(static_key_initialize(NULL), status);
    assert_int_equal(static_key_increment(&first), PATCH_ERR_NOT_INITIALIZED);
}

static void two_keys_of_one_name_are_refused(void **state)
{
    (void)state;
    second.name = "first";
    expect_refusal(PATCH_ERR_DUPLICATE, "first", 0);
    second.name = "second";
}

/* The only entry of @key. */
static struct static_key_site *entry_of(const struct static_key *key)
{
    struct static_key_site *site = static_key_sites_start;

    while ((site->key & ~(uint64_t)STATIC_KEY_LIKELY) != (uint64_t)key) {
        site++;
    }
    return site;
}

static void entry_whose_target_is_not_the_jumps_is_refused(void **state)
{
    (void)state;
    struct static_key_site *entry = entry_of(&second);

    entry->target++;
    expect_refusal(PATCH_ERR_INSTRUCTION, "second", entry->address);
    entry_of(&second)->target--; /* the table is sorted by now */
}

static void entry_that_points_at_no_jump_is_refused(void **state)
{
    (void)state;
    struct static_key_site *entry = entry_of(&first);

    entry->address++;
    expect_refusal(PATCH_ERR_INSTRUCTION, "first", entry->address);
    entry_of(&first)->address--;
}

static void entry_outside_text_is_refused(void **state)
{
    (void)state;
    struct static_key_site *entry = entry_of(&second);
    uint64_t saved = entry->address;

    entry->address = (uint64_t)&second;
    expect_refusal(PATCH_ERR_NOT_TEXT, "second", entry->address);
    entry_of(&second)->address = saved;
}

static void write_that_fails_is_refused_and_named(void **state)
{
    (void)state;
    struct patch_error error;

    recorder.fail_write = 1;
    recorder.fault = FAULT_NOTHING_WRITTEN;
    assert_int_equal(static_key_initialize(&error), PATCH_ERR_WRITE);
    assert_int_equal(error.address, static_key_sites_start[0].address);
    assert_string_equal(recorder_log(), "(w)S");
}

static void initialize_writes_the_nops_and_syncs_once(void **state)
{
    (void)state;
    struct static_key_site *site = static_key_sites_start;

    recorder.early_boot = true;
    for (; site < static_key_sites_end; site++) {
        struct instruction instruction = {.length = site == entry_of(&first) ? 2 : 5};
        uint8_t nop[PATCH_SITE_LENGTH_MAX];

        assert_int_equal(instruction_encode(&instruction, site->address, nop), PATCH_OK);
        recorder_watch(site->address, (const uint8_t *)site->address, nop, instruction.length);
    }
    assert_int_equal(static_key_initialize(NULL), PATCH_OK);
    assert_string_equal(recorder_log(), "(ww)S");
    recorder_expect_synced();
    assert_int_equal(first_branch(), 0);
    assert_int_equal(second_branch(), 1);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(two_keys_of_one_name_are_refused, setup),
    cmocka_unit_test_setup(entry_whose_target_is_not_the_jumps_is_refused, setup),
    cmocka_unit_test_setup(entry_that_points_at_no_jump_is_refused, setup),
    cmocka_unit_test_setup(entry_outside_text_is_refused, setup),
    cmocka_unit_test_setup(write_that_fails_is_refused_and_named, setup),
    cmocka_unit_test_setup(initialize_writes_the_nops_and_syncs_once, setup),
};

static int group_setup(void **state)
{
    (void)state;
    setup(NULL);
    return own_text_unprotect();
}

HOST_TEST_MAIN(tests, group_setup)
