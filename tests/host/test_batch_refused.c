// SPDX-License-Identifier: MIT
/* Bad batches: each is refused with the status and the culprit that belong to it. Detects a check
 * that is missing or comes after the first write: no test here may leave a write in the recorder's
 * log. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

static struct patch_batch batch;
static uint8_t text_before[RECORDER_ARENA_SIZE];

static const struct site_form nop5 = {INSTRUCTION_NOP, 5, 0, 0};
static const struct site_form jump_far = {INSTRUCTION_JUMP, 5, 0, 0x01000000};

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    patch_batch_initialize(&batch, "refused");
    return 0;
}

static void expect_refusal(enum patch_status status, uint64_t culprit)
{
    memcpy(text_before, recorder_arena, sizeof(text_before));
    assert_int_equal(patch_batch_apply(&batch), status);
    assert_int_equal(batch.error.status, status);
    assert_int_equal(batch.error.address, culprit);
    assert_string_equal(recorder_log(), "");
    assert_memory_equal(text_before, recorder_arena, sizeof(text_before));
}

static struct test_site add_nop_to_jump(size_t offset)
{
    struct test_site site = site_make(offset, &nop5, &jump_far);

    site_add(&batch, &site);
    return site;
}

static void batch_without_a_site_is_refused(void **state)
{
    (void)state;
    expect_refusal(PATCH_ERR_EMPTY, 0);
}

static void site_4097_is_refused(void **state)
{
    (void)state;
    sites_add_nop_to_jump(&batch, PATCH_BATCH_MAX, 8);

    uint64_t address = (uint64_t)recorder_arena + 8 * PATCH_BATCH_MAX;
    struct test_site first = {.address = address, .length = 5};

    assert_int_equal(patch_batch_add(&batch, address, first.old_bytes, first.new_bytes, 5),
                     PATCH_ERR_FULL);
    expect_refusal(PATCH_ERR_FULL, address);
    sites_expect_old();
}

static void site_listed_twice_is_refused(void **state)
{
    (void)state;
    struct test_site site = add_nop_to_jump(64);

    add_nop_to_jump(8);
    site_add(&batch, &site);
    expect_refusal(PATCH_ERR_DUPLICATE, site.address);
}

static void overlapping_sites_are_refused(void **state)
{
    (void)state;
    /* call rel32 whose last byte is 0x90: a nop of one byte stands inside it */
    const struct site_form call = {INSTRUCTION_CALL, 5, 0, (int32_t)0x90000000};
    const struct site_form nop1 = {INSTRUCTION_NOP, 1, 0, 0};
    const struct site_form ret1 = {INSTRUCTION_RETURN, 1, 0, 0};
    struct test_site outer = site_make(64, &call, &jump_far);
    struct test_site inner = site_make(68, &nop1, &ret1);

    site_add(&batch, &outer);
    site_add(&batch, &inner);
    expect_refusal(PATCH_ERR_OVERLAP, inner.address);
    assert_int_equal(batch.error.other, outer.address);
}

static void site_outside_text_is_refused(void **state)
{
    (void)state;
    struct test_site good = add_nop_to_jump(0);
    struct test_site bad = site_make(RECORDER_ARENA_SIZE - 5, &nop5, &jump_far);

    site_add(&batch, &bad);
    recorder.text_end -= 1; /* its last byte is outside now */
    expect_refusal(PATCH_ERR_NOT_TEXT, bad.address);
    site_expect(&good, good.old_bytes);
}

static void unexpected_current_bytes_are_refused_and_shown(void **state)
{
    (void)state;
    add_nop_to_jump(0);
    struct test_site bad = add_nop_to_jump(100);

    add_nop_to_jump(200);
    recorder_arena[104] ^= 0x10;
    expect_refusal(PATCH_ERR_UNEXPECTED, bad.address);
    assert_int_equal(batch.error.length, 5);
    assert_memory_equal(batch.error.expected, bad.old_bytes, 5);
    assert_memory_equal(batch.error.actual, recorder_arena + 100, 5);
}

static void length_that_does_not_match_the_instruction_is_refused(void **state)
{
    (void)state;
    struct test_site site = site_make(64, &nop5, &jump_far);

    assert_int_equal(patch_batch_add(&batch, site.address, site.old_bytes, site.new_bytes, 4),
                     PATCH_OK);
    expect_refusal(PATCH_ERR_INSTRUCTION, site.address);
}

static void length_0_and_length_8_are_refused(void **state)
{
    (void)state;
    struct test_site site = site_make(64, &nop5, &jump_far);

    assert_int_equal(patch_batch_add(&batch, site.address, site.old_bytes, site.new_bytes, 0),
                     PATCH_ERR_LENGTH);
    assert_int_equal(batch.error.address, site.address);
    patch_batch_initialize(&batch, "again");
    assert_int_equal(patch_batch_add(&batch, site.address, site.old_bytes, site.new_bytes, 8),
                     PATCH_ERR_LENGTH);
    expect_refusal(PATCH_ERR_LENGTH, site.address);
}

static void unknown_instructions_are_refused_old_and_new(void **state)
{
    (void)state;
    static const uint8_t nop2[2] = {0x66, 0x90};
    static const uint8_t push_pop[2] = {0x50, 0x58};
    uint64_t address = (uint64_t)recorder_arena + 64;

    memcpy(recorder_arena + 64, nop2, 2);
    assert_int_equal(patch_batch_add(&batch, address, nop2, push_pop, 2), PATCH_OK);
    expect_refusal(PATCH_ERR_INSTRUCTION, address);
    assert_memory_equal(batch.error.expected, push_pop, 2);

    patch_batch_initialize(&batch, "old");
    memcpy(recorder_arena + 64, push_pop, 2);
    assert_int_equal(patch_batch_add(&batch, address, push_pop, nop2, 2), PATCH_OK);
    expect_refusal(PATCH_ERR_INSTRUCTION, address);
}

static void int3_as_new_first_byte_is_refused(void **state)
{
    (void)state;
    static const uint8_t nop1[1] = {0x90};
    static const uint8_t int3[1] = {INSN_INT3};
    uint64_t address = (uint64_t)recorder_arena + 64;

    recorder_arena[64] = 0x90;
    assert_int_equal(patch_batch_add(&batch, address, nop1, int3, 1), PATCH_OK);
    expect_refusal(PATCH_ERR_INSTRUCTION, address);
}

static void jump_into_the_tail_of_a_site_is_refused(void **state)
{
    (void)state;
    struct test_site victim = add_nop_to_jump(200);

    for (int inside = 1; inside < 5; inside++) {
        patch_batch_initialize(&batch, "tail");
        const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 200 - 105 + inside};
        struct test_site jumper = site_make(100, &nop5, &jump);

        site_add(&batch, &victim);
        site_add(&batch, &jumper);
        expect_refusal(PATCH_ERR_TARGET_IN_SITE, jumper.address);
        assert_int_equal(batch.error.other, victim.address);
    }
}

static void jump_into_its_own_tail_is_refused(void **state)
{
    (void)state;
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, -1};
    struct test_site site = site_make(100, &nop5, &jump);

    site_add(&batch, &site);
    expect_refusal(PATCH_ERR_TARGET_IN_SITE, site.address);
}

static void jump_to_the_start_of_a_site_or_behind_it_is_fine(void **state)
{
    (void)state;
    for (int edge = 0; edge <= 5; edge += 5) {
        recorder_reset();
        patch_batch_initialize(&batch, "edge");
        const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 200 - 105 + edge};
        struct test_site jumper = site_make(100, &nop5, &jump);

        site_add(&batch, &jumper);
        add_nop_to_jump(200);
        assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    }
}

static void unknown_protocol_is_refused(void **state)
{
    (void)state;
    add_nop_to_jump(0);
    batch.protocol = PATCH_PROTOCOL_COUNT;
    expect_refusal(PATCH_ERR_PROTOCOL, 0);
}

static void context_that_may_not_patch_is_refused_before_the_lock(void **state)
{
    (void)state;
    add_nop_to_jump(0);
    recorder.may_patch = false; /* platform_lock() would fail the test */
    expect_refusal(PATCH_ERR_CONTEXT, 0);
    /* and under the lock, in case the caller has changed the context since */
    recorder.may_patch = true;
    patch_batch_initialize(&batch, "locked");
    add_nop_to_jump(0);
    platform_lock();
    recorder.may_patch = false;
    assert_int_equal(patch_batch_apply_locked(&batch), PATCH_ERR_CONTEXT);
    platform_unlock();
    assert_string_equal(recorder_log(), "");
}

static void failed_add_makes_apply_refuse_the_whole_batch(void **state)
{
    (void)state;
    struct test_site good = add_nop_to_jump(0);

    assert_int_equal(patch_batch_add(&batch, 4711, good.old_bytes, good.new_bytes, 0),
                     PATCH_ERR_LENGTH);
    assert_int_equal(patch_batch_add(&batch, good.address + 64, good.old_bytes, good.new_bytes, 5),
                     PATCH_ERR_LENGTH);
    expect_refusal(PATCH_ERR_LENGTH, 4711);
}

static void applying_or_planning_without_the_lock_is_fatal(void **state)
{
    (void)state;
    jmp_buf fatal;
    unsigned rounds;
    volatile unsigned fatalities = 0;

    add_nop_to_jump(0);
    recorder.on_fatal = &fatal;
    if (setjmp(fatal) == 0) {
        assert_int_equal(patch_batch_apply_locked(&batch), PATCH_OK);
    } else {
        fatalities++;
    }
    if (setjmp(fatal) == 0) {
        assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    } else {
        fatalities++;
    }
    if (setjmp(fatal) == 0) {
        patch_record_add(&batch.record);
    } else {
        fatalities++;
    }
    assert_int_equal(fatalities, 3);
    assert_string_equal(recorder_log(), "");
}

static void refused_batch_leaves_a_record_with_its_status(void **state)
{
    (void)state;
    struct patch_record record;

    add_nop_to_jump(0);
    recorder_arena[0] ^= 1;
    expect_refusal(PATCH_ERR_UNEXPECTED, (uint64_t)recorder_arena);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_int_equal(record.status, PATCH_ERR_UNEXPECTED);
    assert_int_equal(record.rounds, 0);
    assert_int_equal(record.sites, 0);
}

static void every_status_has_its_own_text(void **state)
{
    (void)state;
    for (enum patch_status a = 0; a < PATCH_STATUS_COUNT; a++) {
        assert_non_null(patch_status_text(a));
        for (enum patch_status b = 0; b < a; b++) {
            assert_string_not_equal(patch_status_text(a), patch_status_text(b));
        }
    }
    assert_string_equal(patch_status_text(PATCH_STATUS_COUNT), "unknown status");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(batch_without_a_site_is_refused, setup),
    cmocka_unit_test_setup(site_4097_is_refused, setup),
    cmocka_unit_test_setup(site_listed_twice_is_refused, setup),
    cmocka_unit_test_setup(overlapping_sites_are_refused, setup),
    cmocka_unit_test_setup(site_outside_text_is_refused, setup),
    cmocka_unit_test_setup(unexpected_current_bytes_are_refused_and_shown, setup),
    cmocka_unit_test_setup(length_that_does_not_match_the_instruction_is_refused, setup),
    cmocka_unit_test_setup(length_0_and_length_8_are_refused, setup),
    cmocka_unit_test_setup(unknown_instructions_are_refused_old_and_new, setup),
    cmocka_unit_test_setup(int3_as_new_first_byte_is_refused, setup),
    cmocka_unit_test_setup(jump_into_the_tail_of_a_site_is_refused, setup),
    cmocka_unit_test_setup(jump_into_its_own_tail_is_refused, setup),
    cmocka_unit_test_setup(jump_to_the_start_of_a_site_or_behind_it_is_fine, setup),
    cmocka_unit_test_setup(unknown_protocol_is_refused, setup),
    cmocka_unit_test_setup(context_that_may_not_patch_is_refused_before_the_lock, setup),
    cmocka_unit_test_setup(failed_add_makes_apply_refuse_the_whole_batch, setup),
    cmocka_unit_test_setup(applying_or_planning_without_the_lock_is_fatal, setup),
    cmocka_unit_test_setup(refused_batch_leaves_a_record_with_its_status, setup),
    cmocka_unit_test_setup(every_status_has_its_own_text, setup),
};

HOST_TEST_MAIN(tests, NULL)
