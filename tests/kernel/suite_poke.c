// SPDX-License-Identifier: MIT
/* The poke engine on the running kernel: costs, refusals, awkward places. What each refusal means
 * is proved byte by byte in tests/host; here the text is real and other CPUs are there. */
#include "arch/features.h"
#include "arch/interrupts.h"
#include "arch/paging.h"
#include "arch/percpu.h"
#include "bench/hold_sites.h"
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
    test_batch.flags = PATCH_ALLOW_UNSAFE; /* nobody runs the field meanwhile */
    for (uint32_t i = 0; i < count; i++, address += SITE_LENGTH) {
        site_encode(test, address, INSTRUCTION_NOP, 0, bytes[0]);
        site_encode(test, address, INSTRUCTION_JUMP, address + SITE_LENGTH, bytes[1]);
        EXPECT_EQUAL(
            test,
            patch_batch_add(&test_batch, address, bytes[!to_jump], bytes[to_jump], SITE_LENGTH),
            PATCH_OK);
    }
}

/* How many of the first @count sites of the field lie inside an aligned quadword. */
static uint32_t field_quadwords(uint32_t count)
{
    uint32_t fitting = 0;
    for (uint64_t i = 0, address = (uint64_t)patch_site_field; i < count; i++) {
        fitting += address % 8 + SITE_LENGTH <= 8;
        address += SITE_LENGTH;
    }
    return fitting;
}

struct cost {
    uint32_t rounds, bytes, quadwords;
};

/* What each protocol is to cost. A quadword is 8 bytes; an int3 is one more than the site has. */
static struct cost field_cost(uint32_t count, enum patch_protocol_id protocol)
{
    uint32_t fitting = field_quadwords(count);
    switch (protocol) {
    case PATCH_PROTOCOL_INT3:
        return (struct cost){3 * count, count * (SITE_LENGTH + 1), 0};
    case PATCH_PROTOCOL_INT3_BATCH:
        return (struct cost){3, count * (SITE_LENGTH + 1), 0};
    case PATCH_PROTOCOL_QWORD:
        return (struct cost){fitting == count ? 1 : 3,
                             fitting * 8 + (count - fitting) * (SITE_LENGTH + 1), fitting};
    default:
        return (struct cost){protocol == PATCH_PROTOCOL_STOP, count * SITE_LENGTH, 0};
    }
}

static void field_flip(struct test *test, uint32_t count, enum patch_protocol_id protocol)
{
    struct cost cost = field_cost(count, protocol);
    for (int to_jump = 1; to_jump >= 0; to_jump--) {
        field_prepare(test, count, to_jump != 0, protocol);
        EXPECT_EQUAL(test, patch_batch_apply(&test_batch), PATCH_OK);
        EXPECT_EQUAL(test, test_batch.record.sites, count);
        EXPECT_EQUAL(test, test_batch.record.rounds, cost.rounds);
        EXPECT_EQUAL(test, test_batch.record.ipis, cost.rounds * (cpu_count() - 1));
        EXPECT_EQUAL(test, test_batch.record.bytes, cost.bytes);
        EXPECT_EQUAL(test, test_batch.record.quadwords, cost.quadwords);
        EXPECT_EQUAL(test, test_batch.record.traps, 0);
        EXPECT_EQUAL(test, patch_site_field(), 1);
    }
}

/* Every protocol; neighbours of a quadword site share its quadword and must keep their bytes: the
 * walk through the field would notice, and so does the text snapshot behind the suite. */
static void rounds_are_exact(struct test *test)
{
    static const uint32_t counts[] = {1, 2, 4, 56};
    for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
            field_flip(test, counts[i], id);
        }
    }
}

static void largest_batch_takes_no_more_rounds(struct test *test)
{
    field_flip(test, PATCH_BATCH_MAX, PATCH_PROTOCOL_INT3_BATCH);
    field_flip(test, PATCH_BATCH_MAX, PATCH_PROTOCOL_QWORD);
    field_flip(test, PATCH_BATCH_MAX, PATCH_PROTOCOL_STOP);
}

/* The record's IPIs are real: each other CPU has taken one of the kind, and none of another. */
static void stop_interrupts_each_other_cpu_once(struct test *test)
{
    static uint64_t stops[CPU_MAX], syncs[CPU_MAX];
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        stops[cpu] = cpu_by_index(cpu)->counters.ipis_received[IPI_STOP];
        syncs[cpu] = cpu_by_index(cpu)->counters.ipis_received[IPI_SYNC];
    }
    field_flip(test, 4, PATCH_PROTOCOL_STOP); /* there and back */
    for (unsigned cpu = 0; cpu < cpu_present_count(); cpu++) {
        bool other = cpu != cpu_index() && cpu_index_is_online(cpu);
        EXPECT_EQUAL(test, cpu_by_index(cpu)->counters.ipis_received[IPI_STOP] - stops[cpu],
                     other ? 2 : 0);
        EXPECT_EQUAL(test, cpu_by_index(cpu)->counters.ipis_received[IPI_SYNC] - syncs[cpu], 0);
    }
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

/* Whatever was refused: nothing was written, nobody was interrupted, and the culprit is named. */
static void expect_refused(struct test *test, enum patch_status expected, uint64_t address)
{
    EXPECT_EQUAL(test, patch_batch_apply(&test_batch), expected);
    EXPECT_EQUAL(test, test_batch.error.status, expected);
    EXPECT_EQUAL(test, test_batch.error.address, address);
    EXPECT_EQUAL(test, test_batch.record.rounds, 0);
    EXPECT_EQUAL(test, test_batch.record.ipis, 0);
    EXPECT_EQUAL(test, test_batch.record.bytes, 0);
    EXPECT_EQUAL(test, *(const uint8_t *)patch_site_field, 0x0f);
}

/* One bad site among good ones, with each protocol. */
static void refuse_with(struct test *test, uint64_t address, const uint8_t *old_bytes,
                        const uint8_t *new_bytes, enum patch_status expected)
{
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        field_prepare(test, 3, true, id);
        EXPECT_EQUAL(test, patch_batch_add(&test_batch, address, old_bytes, new_bytes, SITE_LENGTH),
                     PATCH_OK);
        expect_refused(test, expected, address);
    }
}

static void refuse_length(struct test *test, size_t length)
{
    uint8_t nop[PATCH_SITE_LENGTH_MAX];
    uint64_t plain = (uint64_t)patch_site_plain;
    site_encode(test, plain, INSTRUCTION_NOP, 0, nop);
    field_prepare(test, 3, true, PATCH_PROTOCOL_INT3_BATCH);
    EXPECT_EQUAL(test, patch_batch_add(&test_batch, plain, nop, nop, length), PATCH_ERR_LENGTH);
    expect_refused(test, PATCH_ERR_LENGTH, plain);
}

static void bad_lengths_are_refused(struct test *test)
{
    uint8_t nop[PATCH_SITE_LENGTH_MAX];
    uint64_t plain = (uint64_t)patch_site_plain;
    refuse_length(test, 0);
    refuse_length(test, PATCH_SITE_LENGTH_MAX + 1);
    site_encode(test, plain, INSTRUCTION_NOP, 0, nop);
    field_prepare(test, 3, true, PATCH_PROTOCOL_INT3_BATCH);
    /* Four bytes of an instruction that has five. */
    EXPECT_EQUAL(test, patch_batch_add(&test_batch, plain, nop, nop, SITE_LENGTH - 1), PATCH_OK);
    expect_refused(test, PATCH_ERR_INSTRUCTION, plain);
}

static void empty_batch_is_refused(struct test *test)
{
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        field_prepare(test, 0, true, id);
        expect_refused(test, PATCH_ERR_EMPTY, 0);
    }
}

/* nop2 is 66 90, and its second byte a nop of its own: two sites that share it. */
static void overlapping_sites_are_refused(struct test *test)
{
    static const uint8_t ret[] = {INSN_RET};
    const struct hold_site *site = &hold_sites[2];
    uint8_t bytes[HOLD_FORMS][PATCH_SITE_LENGTH_MAX];
    hold_site_bytes(site, HOLD_FORM_FIRST, bytes[HOLD_FORM_FIRST]);
    hold_site_bytes(site, HOLD_FORM_SECOND, bytes[HOLD_FORM_SECOND]);
    field_prepare(test, 3, true, PATCH_PROTOCOL_INT3_BATCH);
    EXPECT_EQUAL(test, site->forms[HOLD_FORM_FIRST].length, 2);
    EXPECT_EQUAL(test,
                 patch_batch_add(&test_batch, site->address + 1, bytes[HOLD_FORM_FIRST] + 1, ret,
                                 sizeof(ret)),
                 PATCH_OK);
    EXPECT_EQUAL(test,
                 patch_batch_add(&test_batch, site->address, bytes[HOLD_FORM_FIRST],
                                 bytes[HOLD_FORM_SECOND], 2),
                 PATCH_OK);
    expect_refused(test, PATCH_ERR_OVERLAP, site->address + 1);
    EXPECT_EQUAL(test, test_batch.error.other, site->address);
}

static void naive_without_consent_is_refused(struct test *test)
{
    field_prepare(test, 3, true, PATCH_PROTOCOL_NAIVE);
    test_batch.flags = PATCH_STRICT;
    expect_refused(test, PATCH_ERR_UNSAFE, 0);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_NAIVE, 0), PATCH_ERR_UNSAFE);
    EXPECT_EQUAL(test, patch_protocol_default(), PATCH_PROTOCOL_INT3_BATCH);
}

static void unknown_protocol_is_refused(struct test *test)
{
    field_prepare(test, 3, true, PATCH_PROTOCOL_COUNT);
    expect_refused(test, PATCH_ERR_PROTOCOL, 0);
    EXPECT_EQUAL(test, patch_protocol_set_default(PATCH_PROTOCOL_COUNT, PATCH_ALLOW_UNSAFE),
                 PATCH_ERR_PROTOCOL);
    EXPECT_EQUAL(test, patch_protocol_find("int4"), PATCH_PROTOCOL_COUNT);
}

/* The field begins at a multiple of 16: its first site fits, its second does not. */
static void strict_qword_refuses_a_site_across_a_quadword(struct test *test)
{
    field_prepare(test, 2, true, PATCH_PROTOCOL_QWORD);
    test_batch.flags |= PATCH_STRICT;
    expect_refused(test, PATCH_ERR_QUADWORD, (uint64_t)patch_site_field + SITE_LENGTH);
    for (int to_jump = 1; to_jump >= 0; to_jump--) {
        field_prepare(test, 1, to_jump != 0, PATCH_PROTOCOL_QWORD);
        test_batch.flags |= PATCH_STRICT;
        EXPECT_EQUAL(test, patch_batch_apply(&test_batch), PATCH_OK);
        EXPECT_EQUAL(test, test_batch.record.quadwords, 1);
    }
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
    field_flip(test, 4, PATCH_PROTOCOL_INT3_BATCH);
    field_flip(test, 4, PATCH_PROTOCOL_STOP);
    EXPECT_EQUAL(test, paging_check_wx(NULL), 0);
}

/* The record in the ring: @protocol's, and time only in steps that it has. */
static void expect_record(struct test *test, uint64_t seq, enum patch_protocol_id protocol)
{
    struct patch_record record;
    bool only_first = protocol == PATCH_PROTOCOL_STOP || protocol == PATCH_PROTOCOL_NAIVE;
    EXPECT(test, patch_record_get(seq, &record));
    EXPECT_EQUAL(test, record.seq, seq);
    EXPECT(test, strcmp(record.who, "test field") == 0);
    EXPECT(test, strcmp(record.protocol, patch_protocol_name(protocol)) == 0);
    EXPECT_EQUAL(test, record.sites, 4);
    EXPECT_EQUAL(test, record.status, PATCH_OK);
    EXPECT(test, record.caller >= (uint64_t)text_start && record.caller < (uint64_t)text_end);
    EXPECT(test, record.total_ns >= record.step_ns[PATCH_STEP_INT3] +
                                        record.step_ns[PATCH_STEP_TAIL] +
                                        record.step_ns[PATCH_STEP_FIRST]);
    EXPECT(test, record.step_ns[PATCH_STEP_FIRST] > 0);
    EXPECT(test, !only_first || record.step_ns[PATCH_STEP_INT3] == 0);
    EXPECT(test, !only_first || record.step_ns[PATCH_STEP_TAIL] == 0);
}

static void record_tells_the_batch(struct test *test)
{
    for (enum patch_protocol_id id = 0; id < PATCH_PROTOCOL_COUNT; id++) {
        struct patch_record record;
        uint64_t before = patch_record_newest();
        field_flip(test, 4, id);
        EXPECT_EQUAL(test, patch_record_newest(), before + 2);
        expect_record(test, before + 1, id);
        expect_record(test, before + 2, id);
        EXPECT(test, !patch_record_get(before + 3, &record));
    }
}

static const struct test_case cases[] = {
    TEST_CASE(layout_is_as_the_tests_need),
    TEST_CASE(site_changes_and_changes_back),
    TEST_CASE(call_site_calls_and_returns),
    TEST_CASE(equal_bytes_cost_nothing),
    TEST_CASE(rounds_are_exact),
    TEST_CASE(largest_batch_takes_no_more_rounds),
    TEST_CASE(stop_interrupts_each_other_cpu_once),
    TEST_CASE(one_site_too_many_is_refused),
    TEST_CASE(bad_sites_are_refused_by_address),
    TEST_CASE(bad_lengths_are_refused),
    TEST_CASE(empty_batch_is_refused),
    TEST_CASE(overlapping_sites_are_refused),
    TEST_CASE(naive_without_consent_is_refused),
    TEST_CASE(unknown_protocol_is_refused),
    TEST_CASE(strict_qword_refuses_a_site_across_a_quadword),
    TEST_CASE(target_out_of_reach_is_refused),
    TEST_CASE(poke_with_interrupts_off_is_refused),
    TEST_CASE(text_is_not_writable_after_a_batch),
    TEST_CASE(record_tells_the_batch),
};

const struct test_suite suite_poke = TEST_SUITE("poke", cases);
