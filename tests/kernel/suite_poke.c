// SPDX-License-Identifier: MIT
/* The poke engine on the running kernel: costs, refusals, awkward places. What each refusal means
 * is proved byte by byte in tests/host; here the text is real and other CPUs are there. */
#include "arch/features.h"
#include "arch/instructions.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "kernel/string.h"
#include "kernel/thread.h"
#include "patching/instruction.h"
#include "patching/platform.h"
#include "tests/kernel/patch_sites.h"

static void site_changes_and_changes_back(struct test *test)
{
    site_function *const functions[] = {patch_site_plain, patch_site_page_crossing,
                                        patch_site_line_crossing};
    for (unsigned i = 0; i < 3; i++) {
        uint64_t address = (uint64_t)functions[i];
        uint64_t target = (uint64_t)patch_target_two;
        EXPECT_EQUAL(test, functions[i](), 1);
        EXPECT_EQUAL(test, site_patch(test, address, INSTRUCTION_JUMP, target, NULL), PATCH_OK);
        EXPECT_EQUAL(test, functions[i](), 2);
        EXPECT_EQUAL(test, site_patch(test, address, INSTRUCTION_NOP, 0, NULL), PATCH_OK);
        EXPECT_EQUAL(test, functions[i](), 1);
    }
}

static void layout_is_as_the_tests_need(struct test *test)
{
    uint64_t page = (uint64_t)patch_site_page_crossing;
    uint64_t line = (uint64_t)patch_site_line_crossing;
    EXPECT(test, page / PAGE_SIZE != (page + SITE_LENGTH - 1) / PAGE_SIZE);
    EXPECT(test, line / 64 != (line + SITE_LENGTH - 1) / 64);
}

static void call_site_calls_and_returns(struct test *test)
{
    uint64_t address = (uint64_t)patch_site_call_address;
    uint64_t target = (uint64_t)patch_target_add_ten;
    EXPECT_EQUAL(test, patch_site_call(), 1);
    EXPECT_EQUAL(test, site_patch(test, address, INSTRUCTION_CALL, target, NULL), PATCH_OK);
    EXPECT_EQUAL(test, patch_site_call(), 11);
    EXPECT_EQUAL(test, site_patch(test, address, INSTRUCTION_NOP, 0, NULL), PATCH_OK);
    EXPECT_EQUAL(test, patch_site_call(), 1);
}

static void equal_bytes_cost_nothing(struct test *test)
{
    struct patch_record record;
    enum patch_status status =
        site_patch(test, (uint64_t)patch_site_plain, INSTRUCTION_NOP, 0, &record);
    EXPECT_EQUAL(test, status, PATCH_OK);
    EXPECT_EQUAL(test, record.rounds, 0);
    EXPECT_EQUAL(test, record.ipis, 0);
    EXPECT_EQUAL(test, record.bytes, 0);
}

/* Fills test_batch with the first @count sites of the field, nop to jump-to-next or back. */
static void field_prepare(struct test *test, uint32_t count, bool to_jump,
                          enum patch_protocol_id protocol)
{
    uint64_t address = (uint64_t)patch_site_field;
    uint8_t bytes[2][PATCH_SITE_LENGTH_MAX];
    patch_batch_initialize(&test_batch, "test field");
    test_batch.protocol = protocol;
    for (uint32_t i = 0; i < count; i++, address += SITE_LENGTH) {
        site_encode(test, address, INSTRUCTION_NOP, 0, bytes[0]);
        site_encode(test, address, INSTRUCTION_JUMP, address + SITE_LENGTH, bytes[1]);
        EXPECT_EQUAL(
            test,
            patch_batch_add(&test_batch, address, bytes[!to_jump], bytes[to_jump], SITE_LENGTH),
            PATCH_OK);
    }
}

static void field_flip(struct test *test, uint32_t count, enum patch_protocol_id protocol,
                       uint32_t expected_rounds)
{
    for (int to_jump = 1; to_jump >= 0; to_jump--) {
        field_prepare(test, count, to_jump != 0, protocol);
        EXPECT_EQUAL(test, patch_batch_apply(&test_batch), PATCH_OK);
        EXPECT_EQUAL(test, test_batch.record.sites, count);
        EXPECT_EQUAL(test, test_batch.record.rounds, expected_rounds);
        EXPECT_EQUAL(test, test_batch.record.ipis, expected_rounds * (cpu_count() - 1));
        EXPECT_EQUAL(test, test_batch.record.bytes, count * (SITE_LENGTH + 1));
        EXPECT_EQUAL(test, patch_site_field(), 1);
    }
}

static void rounds_are_exact(struct test *test)
{
    static const uint32_t counts[] = {1, 2, 4, 56};
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        field_flip(test, counts[i], PATCH_PROTOCOL_INT3, 3 * counts[i]);
        field_flip(test, counts[i], PATCH_PROTOCOL_INT3_BATCH, 3);
    }
}

static void largest_batch_takes_three_rounds(struct test *test)
{
    field_flip(test, PATCH_BATCH_MAX, PATCH_PROTOCOL_INT3_BATCH, 3);
}

static void one_site_too_many_is_refused(struct test *test)
{
    uint8_t nop[PATCH_SITE_LENGTH_MAX];
    field_prepare(test, PATCH_BATCH_MAX, true, PATCH_PROTOCOL_INT3_BATCH);
    site_encode(test, (uint64_t)patch_site_plain, INSTRUCTION_NOP, 0, nop);
    EXPECT_EQUAL(test,
                 patch_batch_add(&test_batch, (uint64_t)patch_site_plain, nop, nop, SITE_LENGTH),
                 PATCH_ERR_FULL);
    EXPECT_EQUAL(test, patch_batch_apply(&test_batch), PATCH_ERR_FULL);
    EXPECT_EQUAL(test, *(const uint8_t *)patch_site_field, 0x0f);
}

/* One bad site among good ones: status and culprit, and not a byte changed. */
static void refuse_with(struct test *test, uint64_t address, const uint8_t *old_bytes,
                        const uint8_t *new_bytes, enum patch_status expected)
{
    field_prepare(test, 3, true, PATCH_PROTOCOL_INT3_BATCH);
    EXPECT_EQUAL(test, patch_batch_add(&test_batch, address, old_bytes, new_bytes, SITE_LENGTH),
                 PATCH_OK);
    EXPECT_EQUAL(test, patch_batch_apply(&test_batch), expected);
    EXPECT_EQUAL(test, test_batch.error.address, address);
    EXPECT_EQUAL(test, test_batch.record.rounds, 0);
    EXPECT_EQUAL(test, *(const uint8_t *)patch_site_field, 0x0f);
}

static void bad_sites_are_refused_by_address(struct test *test)
{
    static uint8_t data_target[8];
    uint64_t plain = (uint64_t)patch_site_plain;
    uint64_t second = (uint64_t)patch_site_field + SITE_LENGTH;
    uint8_t nop[PATCH_SITE_LENGTH_MAX];
    uint8_t jump[PATCH_SITE_LENGTH_MAX];
    uint8_t inside[PATCH_SITE_LENGTH_MAX];
    site_encode(test, plain, INSTRUCTION_NOP, 0, nop);
    site_encode(test, plain, INSTRUCTION_JUMP, (uint64_t)patch_target_two, jump);
    refuse_with(test, plain, jump, nop, PATCH_ERR_UNEXPECTED);
    refuse_with(test, (uint64_t)data_target, nop, jump, PATCH_ERR_NOT_TEXT);
    refuse_with(test, (uint64_t)nopatch_start, nop, jump, PATCH_ERR_NOT_TEXT);
    refuse_with(test, (uint64_t)text_end - 2, nop, jump, PATCH_ERR_NOT_TEXT);
    refuse_with(test, second, nop, jump, PATCH_ERR_DUPLICATE);
    site_encode(test, plain, INSTRUCTION_JUMP, second + 1, inside);
    refuse_with(test, plain, nop, inside, PATCH_ERR_TARGET_IN_SITE);
}

static void target_out_of_reach_is_refused(struct test *test)
{
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];
    struct instruction jump = {
        .kind = INSTRUCTION_JUMP, .length = SITE_LENGTH, .target = 0x7f0000000000};
    EXPECT_EQUAL(test, instruction_encode(&jump, (uint64_t)patch_site_plain, bytes),
                 PATCH_ERR_RANGE);
}

static void poke_with_interrupts_off_is_refused(struct test *test)
{
    field_prepare(test, 1, true, PATCH_PROTOCOL_INT3_BATCH);
    uint64_t flags = interrupts_save();
    enum patch_status status = patch_batch_apply(&test_batch);
    interrupts_restore(flags);
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    preempt_disable();
    status = patch_batch_apply(&test_batch);
    preempt_enable();
    EXPECT_EQUAL(test, status, PATCH_ERR_CONTEXT);
    EXPECT_EQUAL(test, *(const uint8_t *)patch_site_field, 0x0f);
}

/* After a batch nothing may be left of the writable alias: every page table entry is looked at. */
static void text_is_not_writable_after_a_batch(struct test *test)
{
    if (!feature_present(FEATURE_NX)) {
        test_skip(test, "this CPU has no NX");
        return;
    }
    field_flip(test, 4, PATCH_PROTOCOL_INT3_BATCH, 3);
    EXPECT_EQUAL(test, paging_check_wx(NULL), 0);
}

static void record_tells_the_batch(struct test *test)
{
    struct patch_record record;
    uint64_t before = patch_record_newest();
    field_flip(test, 4, PATCH_PROTOCOL_INT3, 12);
    EXPECT_EQUAL(test, patch_record_newest(), before + 2);
    EXPECT(test, patch_record_get(before + 2, &record));
    EXPECT(test, strcmp(record.who, "test field") == 0);
    EXPECT(test, strcmp(record.protocol, "int3") == 0);
    EXPECT_EQUAL(test, record.sites, 4);
    EXPECT(test, record.caller >= (uint64_t)text_start && record.caller < (uint64_t)text_end);
    EXPECT(test, record.total_ns >= record.step_ns[0] + record.step_ns[1] + record.step_ns[2]);
    EXPECT(test, !patch_record_get(before + 3, &record));
}

static const struct test_case cases[] = {
    TEST_CASE(layout_is_as_the_tests_need),
    TEST_CASE(site_changes_and_changes_back),
    TEST_CASE(call_site_calls_and_returns),
    TEST_CASE(equal_bytes_cost_nothing),
    TEST_CASE(rounds_are_exact),
    TEST_CASE(largest_batch_takes_three_rounds),
    TEST_CASE(one_site_too_many_is_refused),
    TEST_CASE(bad_sites_are_refused_by_address),
    TEST_CASE(target_out_of_reach_is_refused),
    TEST_CASE(poke_with_interrupts_off_is_refused),
    TEST_CASE(text_is_not_writable_after_a_batch),
    TEST_CASE(record_tells_the_batch),
};

const struct test_suite suite_poke = TEST_SUITE("poke", cases);
