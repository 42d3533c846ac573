// SPDX-License-Identifier: MIT
/* Where new jumps of a batch may lead. Detects a target refused or accepted wrongly at any distance
 * from the sites: the check looks sites up in the index of the batch, and here every byte before,
 * in and behind hundreds of sites, few and many to a bucket, is tried as a target. Could miss:
 * spacings of sites other than these. */
#include "patching/instruction.h"
#include "patching/poke.h"
#include "tests/host/host_test.h"
#include "tests/host/sites.h"

#include <string.h>

enum { SITES = 300, FIRST = 4096, JUMPER = 64, LENGTH = 5 };

static struct patch_batch batch;
static uint8_t nop_bytes[PATCH_SITE_LENGTH_MAX], return_bytes[PATCH_SITE_LENGTH_MAX];

static int setup(void **state)
{
    static const struct instruction nop = {.kind = INSTRUCTION_NOP, .length = LENGTH};
    static const struct instruction ret = {.kind = INSTRUCTION_RETURN, .length = LENGTH};

    (void)state;
    recorder_reset();
    assert_int_equal(instruction_encode(&nop, 0, nop_bytes), PATCH_OK);
    assert_int_equal(instruction_encode(&ret, 0, return_bytes), PATCH_OK);
    return 0;
}

static uint64_t arena_address(size_t offset)
{
    return (uint64_t)recorder_arena + offset;
}

static void place_nop(size_t offset)
{
    memcpy(recorder_arena + offset, nop_bytes, LENGTH);
}

/* Plans a batch of a jump to @target and of @count sites at @offsets. */
static enum patch_status plan_jump(uint64_t target, const size_t *offsets, size_t count)
{
    struct instruction jump = {.kind = INSTRUCTION_JUMP, .length = LENGTH, .target = target};
    uint8_t jump_bytes[PATCH_SITE_LENGTH_MAX];
    unsigned rounds;

    assert_int_equal(instruction_encode(&jump, arena_address(JUMPER), jump_bytes), PATCH_OK);
    patch_batch_initialize(&batch, "targets");
    assert_int_equal(patch_batch_add(&batch, arena_address(JUMPER), nop_bytes, jump_bytes, LENGTH),
                     PATCH_OK);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(
            patch_batch_add(&batch, arena_address(offsets[i]), nop_bytes, return_bytes, LENGTH),
            PATCH_OK);
    }
    platform_lock();
    enum patch_status status = patch_batch_plan_locked(&batch, &rounds);
    platform_unlock();
    return status;
}

/* Tries every byte around the sites, which stand @stride apart, but for the last: far away, so that
 * many share a bucket. */
static void try_all_targets(size_t stride, size_t last)
{
    static size_t offsets[SITES];
    static bool is_tail[RECORDER_ARENA_SIZE];

    memset(is_tail, 0, sizeof(is_tail));
    place_nop(JUMPER);
    memset(is_tail + JUMPER + 1, true, LENGTH - 1);
    for (size_t i = 0; i < SITES; i++) {
        offsets[i] = i == SITES - 1 ? last : FIRST + i * stride;
        place_nop(offsets[i]);
        memset(is_tail + offsets[i] + 1, true, LENGTH - 1);
    }
    for (size_t target = FIRST - 16; target < FIRST + SITES * stride + 16; target++) {
        enum patch_status status = plan_jump(arena_address(target), offsets, SITES);

        assert_int_equal(status, is_tail[target] ? PATCH_ERR_TARGET_IN_SITE : PATCH_OK);
        if (is_tail[target]) {
            assert_int_equal(batch.error.address, arena_address(JUMPER));
            assert_in_range(arena_address(target) - batch.error.other, 1, LENGTH - 1);
        }
    }
    for (size_t i = 0; i < LENGTH; i++) {
        enum patch_status wanted = i > 0 ? PATCH_ERR_TARGET_IN_SITE : PATCH_OK;

        assert_int_equal(plan_jump(arena_address(JUMPER + i), offsets, SITES), wanted);
        assert_int_equal(plan_jump(arena_address(last + i), offsets, SITES), wanted);
    }
    assert_int_equal(plan_jump(arena_address(last + LENGTH), offsets, SITES), PATCH_OK);
    assert_int_equal(plan_jump(arena_address(RECORDER_ARENA_SIZE + 0x1000000), offsets, SITES),
                     PATCH_OK);
    assert_int_equal(plan_jump(arena_address(JUMPER - 1), offsets, SITES), PATCH_OK);
    assert_int_equal(plan_jump(1, offsets, SITES), PATCH_OK);
}

static void jump_into_any_tail_is_refused_and_no_other(void **state)
{
    (void)state;
    try_all_targets(LENGTH, FIRST + SITES * LENGTH + 1); /* close together */
}

static void jump_into_any_tail_is_refused_with_many_sites_to_a_bucket(void **state)
{
    (void)state;
    try_all_targets(LENGTH + 2, RECORDER_ARENA_SIZE - 64);
}

/* 255 bytes from the first site to the last: each bucket is one byte, and the tail of the last site
 * lies behind the last bucket. */
static void tail_behind_the_last_bucket_is_found(void **state)
{
    (void)state;
    static const size_t offset = JUMPER + PATCH_INDEX_BUCKETS - 1;

    place_nop(JUMPER);
    place_nop(offset);
    for (size_t i = 0; i <= LENGTH; i++) {
        assert_int_equal(plan_jump(arena_address(offset + i), &offset, 1),
                         i % LENGTH != 0 ? PATCH_ERR_TARGET_IN_SITE : PATCH_OK);
    }
}

/* The recorder's CPUs run into each int3 and compare where they get with the bytes of the jump. */
static void jump_to_address_zero_is_emulated(void **state)
{
    (void)state;
    static const struct site_form nops[] = {{INSTRUCTION_NOP, 5, 0, 0}, {INSTRUCTION_NOP, 6, 0, 0}};
    static const struct site_form jumps[] = {
        {INSTRUCTION_JUMP, 5, 0, 0}, {INSTRUCTION_CALL, 5, 0, 0}, {INSTRUCTION_JUMP_IF, 6, 4, 0}};

    for (size_t i = 0; i < ARRAY_COUNT(jumps); i++) {
        struct site_form jump = jumps[i];

        jump.distance = -(int32_t)(arena_address(JUMPER * i) + jump.length);
        patch_batch_initialize(&batch, "zero");
        struct test_site site = site_make(JUMPER * i, &nops[jump.length == 6], &jump);

        site_add(&batch, &site);
        assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    }
    assert_true(recorder.traps > 0);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(jump_into_any_tail_is_refused_and_no_other, setup),
    cmocka_unit_test_setup(jump_into_any_tail_is_refused_with_many_sites_to_a_bucket, setup),
    cmocka_unit_test_setup(tail_behind_the_last_bucket_is_found, setup),
    cmocka_unit_test_setup(jump_to_address_zero_is_emulated, setup),
};

HOST_TEST_MAIN(tests, NULL)
