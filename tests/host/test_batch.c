// SPDX-License-Identifier: MIT
/* Batches that succeed: every protocol, instruction kind, length and alignment. Detects any order
 * of writes and syncs in which some CPU could fetch a mixture, because the recorder checks all of
 * them after every byte. Could miss: what a real CPU does beyond fetching stale bytes. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <stdio.h>
#include <string.h>

static struct patch_batch batch;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static void apply_expecting_success(enum patch_protocol_id protocol)
{
    batch.protocol = protocol;

    enum patch_status status = patch_batch_apply(&batch);

    if (status != PATCH_OK) {
        fail_msg("%s at %#lx", patch_status_text(status), (unsigned long)batch.error.address);
    }
    recorder_expect_synced();
    assert_int_equal(batch.record.rounds, recorder.rounds);
    assert_int_equal(batch.record.ipis, recorder.rounds * (recorder.cpus - 1));
    assert_int_equal(batch.record.traps, recorder.traps);
}

static void every_instruction_pair_at_every_alignment_never_shows_mixed_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < site_form_count(); i++) {
        for (size_t j = 0; j < site_form_count(); j++) {
            if (site_forms[i].length != site_forms[j].length) {
                continue;
            }
            for (unsigned run = 0; run < 40 * SAFE_PROTOCOL_COUNT; run++) {
                recorder_reset();
                patch_batch_initialize(&batch, "pair");
                /* offsets around a page boundary: every position in quadword and cache line edge */
                struct test_site site =
                    site_make(4096 - 20 + run % 40, &site_forms[i], &site_forms[j]);

                site_add(&batch, &site);
                apply_expecting_success(run / 40);
                site_expect(&site, site.new_bytes);
            }
        }
    }
}

static void every_condition_is_emulated(void **state)
{
    (void)state;
    for (uint8_t condition = 0; condition < 16; condition++) {
        for (uint8_t length = INSN_JCC8_LENGTH; length <= INSN_JCC32_LENGTH; length += 4) {
            struct site_form nop = {INSTRUCTION_NOP, length, 0, 0};
            struct site_form jump = {INSTRUCTION_JUMP_IF, length, condition, 0x55};
            struct test_site site;

            recorder_reset();
            patch_batch_initialize(&batch, "condition");
            site = site_make(100, &nop, &jump);
            site_add(&batch, &site);
            apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
        }
    }
}

static void int3_batch_takes_three_rounds_whatever_the_number_of_sites(void **state)
{
    (void)state;
    static const unsigned counts[] = {1, 2, 4, 56, 256};

    for (size_t i = 0; i < ARRAY_COUNT(counts); i++) {
        recorder_reset();
        patch_batch_initialize(&batch, "rounds");
        sites_add_nop_to_jump(&batch, counts[i], 64);
        apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
        assert_int_equal(batch.record.rounds, 3);
        assert_int_equal(batch.record.sites, counts[i]);
        assert_int_equal(batch.record.bytes, 6 * counts[i]);
    }
}

static void int3_takes_three_rounds_for_each_site(void **state)
{
    (void)state;
    patch_batch_initialize(&batch, "rounds");
    sites_add_nop_to_jump(&batch, 7, 64);
    apply_expecting_success(PATCH_PROTOCOL_INT3);
    assert_int_equal(batch.record.rounds, 21);
}

static void writes_and_syncs_come_in_the_order_of_the_protocol(void **state)
{
    (void)state;
    patch_batch_initialize(&batch, "order");
    sites_add_nop_to_jump(&batch, 3, 64);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    assert_string_equal(recorder_log(), "(www)S(www)S(www)S");

    recorder_reset();
    patch_batch_initialize(&batch, "order");
    sites_add_nop_to_jump(&batch, 2, 64);
    apply_expecting_success(PATCH_PROTOCOL_INT3);
    assert_string_equal(recorder_log(), "(w)S(w)S(w)S(w)S(w)S(w)S");
}

static void steps_with_nothing_to_write_cost_no_round(void **state)
{
    (void)state;
    const struct site_form nop = {INSTRUCTION_NOP, 1, 0, 0};
    const struct site_form ret = {INSTRUCTION_RETURN, 1, 0, 0};
    struct test_site one_byte = site_make(10, &nop, &ret);

    patch_batch_initialize(&batch, "no tail");
    site_add(&batch, &one_byte);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    assert_string_equal(recorder_log(), "(w)S(w)S");

    /* the same displacement behind call and jmp: only the first byte differs */
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 0x1234};
    const struct site_form call = {INSTRUCTION_CALL, 5, 0, 0x1234};

    recorder_reset();
    patch_batch_initialize(&batch, "same tail");
    struct test_site same_tail = site_make(10, &jump, &call);

    site_add(&batch, &same_tail);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    assert_string_equal(recorder_log(), "(w)S(w)S");
}

/* An emulator that caches translations gets every first byte once more, behind the last sync. */
static void emulator_is_made_to_translate_again_without_a_round(void **state)
{
    (void)state;
    recorder.text_needs_refresh = true;
    patch_batch_initialize(&batch, "refresh");
    sites_add_nop_to_jump(&batch, 2, 64);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    assert_string_equal(recorder_log(), "(ww)S(ww)S(ww)S(ww)");
    assert_int_equal(batch.record.rounds, 3);
    sites_expect_new();
}

static void equal_bytes_cost_nothing(void **state)
{
    (void)state;
    struct test_site site = site_make(10, &site_forms[0], &site_forms[0]);

    patch_batch_initialize(&batch, "equal");
    site_add(&batch, &site);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(batch.record.sites, 0);
    assert_int_equal(batch.record.rounds, 0);
}

static void plan_foretells_rounds_and_touches_nothing(void **state)
{
    (void)state;
    unsigned rounds = 0;

    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        recorder_reset();
        sites_add_random(&batch, 50, 99 + protocol);
        batch.protocol = protocol;
        platform_lock();
        assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
        platform_unlock();
        assert_string_equal(recorder_log(), "");
        apply_expecting_success(protocol);
        assert_int_equal(batch.record.rounds, rounds);
    }
}

static void random_batches_in_any_order_never_show_mixed_bytes(void **state)
{
    (void)state;
    for (unsigned seed = 1; seed <= 150; seed++) {
        recorder_reset();
        sites_add_random(&batch, 1 + seed % 40, seed);
        apply_expecting_success(seed % SAFE_PROTOCOL_COUNT);
        sites_expect_new();
    }
}

/* Sites far apart and sites side by side: the index must find all of them, and nothing else. */
static void handler_finds_every_site_of_4096_and_no_other(void **state)
{
    (void)state;
    static const unsigned strides[] = {5, 6, 61};

    for (size_t i = 0; i < ARRAY_COUNT(strides); i++) {
        recorder_reset();
        patch_batch_initialize(&batch, "large");
        sites_add_nop_to_jump(&batch, PATCH_BATCH_MAX, strides[i]);
        apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
        assert_int_equal(batch.record.rounds, 3);
        sites_expect_new();
    }
}

static void text_stays_open_for_256_writes_at_most(void **state)
{
    (void)state;
    patch_batch_initialize(&batch, "windows");
    sites_add_nop_to_jump(&batch, PATCH_BATCH_MAX, 8);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);

    unsigned in_window = 0;
    unsigned windows = 0;

    for (const char *call = recorder_log(); *call != '\0'; call++) {
        in_window = *call == 'w' ? in_window + 1 : 0;
        windows += *call == '(';
        assert_true(in_window <= 256);
    }
    assert_int_equal(windows, 3 * PATCH_BATCH_MAX / 256);
}

static void batch_can_be_reused_after_it_returned(void **state)
{
    (void)state;
    struct test_site there = site_make(33, &site_forms[0], &site_forms[1]);
    struct test_site other = site_make(77, &site_forms[0], &site_forms[1]);

    patch_batch_initialize(&batch, "first");
    site_add(&batch, &there);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    patch_batch_initialize(&batch, "second");
    site_add(&batch, &other);
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    site_expect(&there, there.new_bytes);
    site_expect(&other, other.new_bytes);
}

static void every_batch_leaves_a_record(void **state)
{
    (void)state;
    struct patch_record record;
    uint64_t before = patch_record_newest();

    patch_batch_initialize(&batch, "recorded");
    sites_add_nop_to_jump(&batch, 4, 16);
    apply_expecting_success(PATCH_PROTOCOL_INT3_BATCH);
    assert_int_equal(patch_record_newest(), before + 1);
    assert_true(patch_record_get(before + 1, &record));
    assert_string_equal(record.who, "recorded");
    assert_string_equal(record.protocol, "int3-batch");
    assert_int_equal(record.caller, batch.caller);
    assert_int_equal(record.status, PATCH_OK);
    assert_int_equal(record.sites, 4);
    assert_int_equal(record.bytes, 24);
    assert_int_equal(record.rounds, 3);
    assert_int_equal(record.ipis, 9);
    assert_int_equal(record.wall_ns, 1000000);
    assert_true(record.step_ns[0] > 0 && record.step_ns[1] > 0 && record.step_ns[2] > 0);
    assert_true(record.total_ns >= record.step_ns[0] + record.step_ns[1] + record.step_ns[2]);
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(every_instruction_pair_at_every_alignment_never_shows_mixed_bytes,
                           setup),
    cmocka_unit_test_setup(every_condition_is_emulated, setup),
    cmocka_unit_test_setup(int3_batch_takes_three_rounds_whatever_the_number_of_sites, setup),
    cmocka_unit_test_setup(int3_takes_three_rounds_for_each_site, setup),
    cmocka_unit_test_setup(writes_and_syncs_come_in_the_order_of_the_protocol, setup),
    cmocka_unit_test_setup(steps_with_nothing_to_write_cost_no_round, setup),
    cmocka_unit_test_setup(emulator_is_made_to_translate_again_without_a_round, setup),
    cmocka_unit_test_setup(equal_bytes_cost_nothing, setup),
    cmocka_unit_test_setup(plan_foretells_rounds_and_touches_nothing, setup),
    cmocka_unit_test_setup(random_batches_in_any_order_never_show_mixed_bytes, setup),
    cmocka_unit_test_setup(handler_finds_every_site_of_4096_and_no_other, setup),
    cmocka_unit_test_setup(text_stays_open_for_256_writes_at_most, setup),
    cmocka_unit_test_setup(batch_can_be_reused_after_it_returned, setup),
    cmocka_unit_test_setup(every_batch_leaves_a_record, setup),
};

HOST_TEST_MAIN(tests, NULL)
