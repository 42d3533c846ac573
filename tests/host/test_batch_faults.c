// SPDX-License-Identifier: MIT
/* Writes that fail, each one of a batch in turn, in three ways. Detects text that is left half
 * patched, an int3 forgotten, a rollback in an order that some CPU could fetch as a mixture, and a
 * reference that stays behind. Could miss: faults other than a write that does not read back. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

enum { SITES = 12 }; /* some of them without a change */

static struct patch_batch batch;

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

/* The same sites for every fault. */
static void prepare(enum patch_protocol_id protocol)
{
    recorder_reset();
    sites_add_random(&batch, SITES, 5);
    batch.protocol = protocol;
}

static unsigned count_writes(enum patch_protocol_id protocol)
{
    prepare(protocol);
    assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
    return recorder.writes;
}

static void expect_no_reference(void)
{
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        assert_int_equal(patch_trap_cpus[cpu].references, 0);
    }
}

static void one_failing_write_leaves_text_as_it_was(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        unsigned writes = count_writes(protocol);

        assert_true(writes >= batch.record.sites);
        for (unsigned run = 0; run < writes * FAULT_COUNT; run++) {
            prepare(protocol);
            recorder.fail_write = run / FAULT_COUNT + 1;
            recorder.fault = run % FAULT_COUNT;
            assert_int_equal(patch_batch_apply(&batch), PATCH_ERR_WRITE);
            sites_expect_old();
            recorder_expect_synced();
            expect_no_reference();
            assert_int_equal(batch.record.status, PATCH_ERR_WRITE);
            assert_int_equal(batch.record.rounds, recorder.rounds);
            assert_int_equal(batch.record.traps, recorder.traps);
        }
    }
}

/* The unsafe protocol promises that much: old text or new in the end. */
static void naive_puts_text_back_too(void **state)
{
    (void)state;
    for (unsigned write = 1; write <= 20; write++) {
        prepare(PATCH_PROTOCOL_NAIVE);
        batch.flags = PATCH_ALLOW_UNSAFE;
        recorder.tolerates_mixtures = true;
        recorder.fail_write = write;
        assert_int_equal(patch_batch_apply(&batch), PATCH_ERR_WRITE);
        sites_expect_old();
    }
}

static void failing_write_names_its_site_and_its_bytes(void **state)
{
    (void)state;
    const struct site_form nop = {INSTRUCTION_NOP, 5, 0, 0};
    const struct site_form jump = {INSTRUCTION_JUMP, 5, 0, 0x01020304};

    patch_batch_initialize(&batch, "names");
    for (unsigned i = 0; i < 3; i++) {
        struct test_site site = site_make(100 * i, &nop, &jump);

        site_add(&batch, &site);
    }
    recorder.fail_write = 5; /* int3 x 3, then the tail of the second site */
    recorder.fault = FAULT_HALF_WRITTEN;
    assert_int_equal(patch_batch_apply(&batch), PATCH_ERR_WRITE);
    assert_int_equal(batch.error.status, PATCH_ERR_WRITE);
    assert_int_equal(batch.error.address, recorder_arena + 100);
    assert_int_equal(batch.error.length, 4);
    assert_memory_equal(batch.error.expected, "\x04\x03\x02\x01", 4);
    assert_memory_equal(batch.error.actual, "\x04\x03\x00\x00", 4);
}

static void batch_succeeds_when_tried_again_after_a_failure(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        prepare(protocol);
        recorder.fail_write = SITES / 2;
        assert_int_equal(patch_batch_apply(&batch), PATCH_ERR_WRITE);
        patch_batch_initialize(&batch, "again");
        batch.protocol = protocol;
        sites_add_again(&batch);
        assert_int_equal(patch_batch_apply(&batch), PATCH_OK);
        assert_string_equal(batch.record.protocol, patch_protocol_name(protocol));
        sites_expect_new();
    }
}

/* Memory that refuses the very first byte needs no rollback, even if it goes on refusing. */
static void unwritable_text_is_an_error_not_a_panic(void **state)
{
    (void)state;
    prepare(PATCH_PROTOCOL_INT3_BATCH);
    recorder.fail_write = 1;
    recorder.fail_later_writes = true;
    assert_int_equal(patch_batch_apply(&batch), PATCH_ERR_WRITE);
    sites_expect_old();
    expect_no_reference();
}

static void refresh_that_does_not_read_back_stops_the_machine(void **state)
{
    (void)state;
    jmp_buf fatal;
    unsigned writes = count_writes(PATCH_PROTOCOL_INT3_BATCH);

    prepare(PATCH_PROTOCOL_INT3_BATCH);
    recorder.text_needs_refresh = true;
    recorder.fail_write = writes + 1;
    recorder.on_fatal = &fatal;
    if (setjmp(fatal) == 0) {
        enum patch_status status = patch_batch_apply(&batch);

        fail_msg("went on with status %d", (int)status);
    }
    assert_non_null(strstr(recorder.fatal_what, "refreshed"));
}

static void expect_rollback_to_fail(enum patch_protocol_id protocol)
{
    jmp_buf fatal;

    prepare(protocol);
    batch.flags = PATCH_ALLOW_UNSAFE;
    recorder.tolerates_mixtures = true;
    recorder.fail_write = 2;
    recorder.fail_later_writes = true;
    recorder.on_fatal = &fatal;
    if (setjmp(fatal) == 0) {
        enum patch_status status = patch_batch_apply(&batch);

        fail_msg("went on with status %d", (int)status);
    }
    assert_non_null(strstr(recorder.fatal_what, "put back"));
    assert_in_range((uint64_t)recorder.fatal_address, recorder.text_start, recorder.text_end);
}

static void rollback_that_fails_stops_the_machine(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < PATCH_PROTOCOL_COUNT; protocol++) {
        expect_rollback_to_fail(protocol);
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(one_failing_write_leaves_text_as_it_was, setup),
    cmocka_unit_test_setup(naive_puts_text_back_too, setup),
    cmocka_unit_test_setup(failing_write_names_its_site_and_its_bytes, setup),
    cmocka_unit_test_setup(batch_succeeds_when_tried_again_after_a_failure, setup),
    cmocka_unit_test_setup(unwritable_text_is_an_error_not_a_panic, setup),
    cmocka_unit_test_setup(refresh_that_does_not_read_back_stops_the_machine, setup),
    cmocka_unit_test_setup(rollback_that_fails_stops_the_machine, setup),
};

HOST_TEST_MAIN(tests, NULL)
