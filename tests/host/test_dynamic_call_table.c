// SPDX-License-Identifier: MIT
/* Tables that dynamic_call_initialize() must refuse. Each test spoils one entry, sees the refusal
 * name it, and puts the entry back; the last ones let initialize succeed. Detects a table that is
 * believed although a comparison, a slot or a name in it is wrong; comparisons that go to another
 * slot, or to none; calls that do not work before. */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"
#include "tests/host/own_text.h"
#include "tests/host/recorder.h"

#include <string.h>

static size_t table_length(void)
{
    return (size_t)(dynamic_call_sites_end - dynamic_call_sites_start);
}

/* Some entry of @slot. */
static struct dynamic_call_site *entry_of(const struct dynamic_call_slot *slot)
{
    struct dynamic_call_site *site = dynamic_call_sites_start;

    while (site->slot != slot) {
        site++;
        assert_true(site < dynamic_call_sites_end);
    }
    return site;
}

static void expect_refusal(enum patch_status status, const char *name, uint64_t address)
{
    struct patch_error error = {0};

    recorder.early_boot = true;
    assert_int_equal(dynamic_call_initialize(&error), status);
    assert_int_equal(error.status, status);
    assert_int_equal(error.address, address);
    if (name != NULL) {
        assert_string_equal(error.name, name);
    }
    assert_string_equal(recorder_log(), "");
    assert_int_equal(dynamic_call_initialize(NULL), status);
    dynamics_expect_all_calls(subject_two);
}

static void calls_work_before(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamics_expect_all_calls(&dynamic_subjects[i]);
    }
    assert_string_equal(recorder_log(), "");
}

static void two_calls_of_one_name_are_refused(void **state)
{
    const char *name = subject_four->call->name;

    (void)state;
    subject_four->call->name = "two";
    expect_refusal(PATCH_ERR_DUPLICATE, "two", 0);
    subject_four->call->name = name;
}

static void entry_that_points_at_no_comparison_is_refused(void **state)
{
    struct dynamic_call_site *entry = entry_of(&subject_two->call->slots[1]);
    uint64_t address = entry->address;

    (void)state;
    entry->address = address + 1;
    expect_refusal(PATCH_ERR_INSTRUCTION, NULL, address + 1);
    entry = entry_of(&subject_two->call->slots[1]);
    while (entry->address != address + 1) {
        entry++;
    }
    entry->address = address;
}

/* It would be patched when that slot changes. */
static void comparison_with_a_foreign_slot_is_refused(void **state)
{
    struct dynamic_call_site *entry = entry_of(&subject_two->call->slots[1]);
    uint64_t address = entry->address;

    (void)state;
    entry->slot = &subject_two->call->slots[0];
    expect_refusal(PATCH_ERR_INSTRUCTION, NULL, address);
    entry = dynamic_call_sites_start;
    while (entry->address != address) {
        entry++;
    }
    entry->slot = &subject_two->call->slots[1];
}

static void comparison_outside_patchable_text_is_refused(void **state)
{
    const struct dynamic_call_site *site = dynamic_call_sites_start;
    uint64_t lowest = UINT64_MAX;

    (void)state;
    for (; site < dynamic_call_sites_end; site++) {
        lowest = site->address < lowest ? site->address : lowest;
    }
    recorder.text_start = lowest + 1;
    expect_refusal(PATCH_ERR_NOT_TEXT, NULL, lowest);
    recorder.text_start = own_text_start();
}

static void other_instructions_there_are_refused(void **state)
{
    uint64_t address = entry_of(&subject_four->call->slots[3])->address;
    uint8_t *text = (uint8_t *)address;

    (void)state;
    for (unsigned i = 0; i < 3; i++) { /* prefix, opcode, operand byte */
        uint8_t kept = text[i];

        text[i] ^= 1;
        expect_refusal(PATCH_ERR_INSTRUCTION, NULL, address);
        text[i] = kept;
    }
}

/* A slot that is none of its call's: one too many for its call. */
static void slot_behind_the_last_is_refused(void **state)
{
    struct dynamic_call *call = subject_four->call;

    (void)state;
    call->slot_count = 3;
    expect_refusal(PATCH_ERR_INSTRUCTION, NULL, entry_of(&call->slots[3])->address);
    call->slot_count = 4;
}

static void good_tables_are_taken(void **state)
{
    struct patch_error error;

    (void)state;
    recorder.early_boot = true;
    assert_int_equal(dynamic_call_initialize(&error), PATCH_OK);
    for (unsigned i = 0; i < SUBJECTS; i++) {
        dynamics_expect_all_calls(&dynamic_subjects[i]);
        assert_false(dynamics_look(&dynamic_subjects[i]).form.is_open);
        assert_false(dynamics_look(&dynamic_subjects[i]).form.is_watched);
        for (unsigned slot = 0; slot < DYNAMIC_SLOTS_MAX; slot++) {
            assert_int_equal(dynamics_look(&dynamic_subjects[i]).form.targets.slot[slot], 0);
        }
    }
}

/* Each comparison once, by address, in the slot that it names. */
static void comparisons_belong_to_their_slots(void **state)
{
    size_t count = 0;
    struct dynamic_call *call;

    (void)state;
    recorder.early_boot = true;
    assert_int_equal(dynamic_call_initialize(NULL), PATCH_OK);
    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        for (uint32_t number = 0; number < call->slot_count; number++) {
            const struct dynamic_call_slot *slot = &call->slots[number];

            assert_int_equal(slot->site_count, call->slots[0].site_count);
            for (uint32_t j = 0; j < slot->site_count; j++) {
                assert_ptr_equal(slot->sites[j].slot, slot);
                assert_true(j == 0 || slot->sites[j].address > slot->sites[j - 1].address);
            }
            count += slot->site_count;
        }
    }
    assert_int_equal(count, table_length());
}

static void calls_are_found_by_name(void **state)
{
    unsigned count = 0;

    (void)state;
    assert_null(dynamic_call_find("twofold"));
    while (dynamic_call_at(count) != NULL) {
        assert_ptr_equal(dynamic_call_find(dynamic_call_at(count)->name), dynamic_call_at(count));
        count++;
    }
    assert_int_equal(count, 4 + DYNAMIC_INSTANCES);
    assert_ptr_equal(dynamic_call_find("two"), subject_two->call);
    assert_ptr_equal(dynamic_call_find("each_3"), &dynamic_call_each_3);
    assert_null(dynamic_call_find(""));
    assert_null(dynamic_call_at(UINT32_MAX));
}

static int setup(void **state)
{
    (void)state;
    dynamics_begin();
    return 0;
}

/* All but the calls themselves. */
static int group_setup(void **state)
{
    (void)state;
    dynamics_begin();
    recorder.early_boot = true;
    return own_text_unprotect() == 0 && static_call_initialize(NULL) == PATCH_OK &&
                   static_key_initialize(NULL) == PATCH_OK
               ? 0
               : -1;
}

#define TABLE_TEST(function) cmocka_unit_test_setup(function, setup)

/* In this order. */
static const struct CMUnitTest tests[] = {
    TABLE_TEST(calls_work_before),
    TABLE_TEST(two_calls_of_one_name_are_refused),
    TABLE_TEST(entry_that_points_at_no_comparison_is_refused),
    TABLE_TEST(comparison_with_a_foreign_slot_is_refused),
    TABLE_TEST(comparison_outside_patchable_text_is_refused),
    TABLE_TEST(other_instructions_there_are_refused),
    TABLE_TEST(slot_behind_the_last_is_refused),
    TABLE_TEST(good_tables_are_taken),
    TABLE_TEST(comparisons_belong_to_their_slots),
    TABLE_TEST(calls_are_found_by_name),
};

HOST_TEST_MAIN(tests, group_setup)
