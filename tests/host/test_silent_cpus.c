// SPDX-License-Identifier: MIT
/* A CPU that stops answering, from each round on in turn. Detects text left half patched, a batch
 * put back in an order that the silent CPU could fetch as a mixture (the recorder keeps for it all
 * values since its last sync), a machine that goes on when neither old nor new is safe, and one
 * that stops although it could go on. Could miss: a CPU that answers late. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

enum {
    SITES = 12,
    SEEDS = 8,
};

static struct patch_batch batch;
static const struct site_form nop5 = {INSTRUCTION_NOP, 5, 0, 0};
static const struct site_form jump5 = {INSTRUCTION_JUMP, 5, 0, 0x01020304};
static const struct site_form call5 = {INSTRUCTION_CALL, 5, 0, 0x01020304};

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static void prepare(enum patch_protocol_id protocol, unsigned seed)
{
    recorder_reset();
    sites_add_random(&batch, SITES, seed);
    batch.protocol = protocol;
}

static void expect_put_back(void)
{
    sites_expect_old();
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        assert_int_equal(patch_trap_cpus[cpu].references, 0);
    }
    assert_int_equal(batch.record.status, batch.error.status);
    assert_int_equal(batch.record.rounds, recorder.rounds);
}

/* Some tail is new and the CPU is silent: int3 must go on standing where anything has changed. */
static void expect_stopped_by_silent_cpu(void)
{
    assert_string_equal(recorder.fatal_what, "silent CPU");
    assert_int_equal(recorder.fatal_cpu, RECORDER_SILENT_CPU);
    sites_expect_whole_or_int3();
}

static void cpu_silent_from_any_round_on_never_sees_a_mixture(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            prepare(protocol, seed);
            assert_int_equal(sites_apply(&batch), PATCH_OK);

            unsigned rounds = recorder.rounds;

            for (unsigned round = 1; round <= rounds; round++) {
                prepare(protocol, seed);
                recorder.silent_round = round;

                unsigned outcome = sites_apply(&batch);

                if (outcome == SITES_STOPPED) {
                    assert_true(round > 1);
                    expect_stopped_by_silent_cpu();
                } else {
                    assert_int_equal(outcome, PATCH_ERR_SILENT_CPU);
                    assert_int_equal(batch.error.cpu, RECORDER_SILENT_CPU);
                    expect_put_back();
                }
            }
        }
    }
}

static void cpu_silent_in_the_first_round_is_an_error_not_a_panic(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        for (unsigned seed = 1; seed <= SEEDS; seed++) {
            prepare(protocol, seed);
            recorder.silent_round = 1;
            assert_int_equal(sites_apply(&batch), PATCH_ERR_SILENT_CPU);
            /* it was asked once, then all for the old bytes, without a stop in protocol stop */
            assert_int_equal(recorder.rounds, protocol == PATCH_PROTOCOL_STOP ? 1 : 2);
            expect_put_back();

            /* when it answers again */
            patch_batch_initialize(&batch, "again");
            batch.protocol = protocol;
            recorder.silent_round = 0;
            sites_add_again(&batch);
            assert_int_equal(sites_apply(&batch), PATCH_OK);
            sites_expect_new();
        }
    }
}

static void cpu_silent_behind_a_written_tail_stops_the_machine(void **state)
{
    (void)state;
    for (unsigned round = 2; round <= 3; round++) {
        recorder_reset();
        patch_batch_initialize(&batch, "tail");
        sites_add_nop_to_jump(&batch, 3, 64);
        recorder.silent_round = round;
        assert_int_equal(sites_apply(&batch), SITES_STOPPED);
        expect_stopped_by_silent_cpu();
    }
}

/* jmp becomes call with the same displacement: only first bytes change, nobody can see a mixture.
 */
static void cpu_silent_while_only_first_bytes_change_is_an_error(void **state)
{
    (void)state;
    patch_batch_initialize(&batch, "first bytes");

    struct test_site site = site_make(7, &jump5, &call5);

    site_add(&batch, &site);
    recorder.silent_round = 2;
    assert_int_equal(sites_apply(&batch), PATCH_ERR_SILENT_CPU);
    site_expect(&site, site.old_bytes);
    assert_string_equal(recorder_log(), "(w)S(w)S(w)(w)S");
}

static void cpu_that_does_not_come_to_a_stop_leaves_text_untouched(void **state)
{
    (void)state;
    patch_batch_initialize(&batch, "stop");
    batch.protocol = PATCH_PROTOCOL_STOP;

    struct test_site site = site_make(7, &nop5, &jump5);

    site_add(&batch, &site);
    recorder.silent_round = 1;
    assert_int_equal(sites_apply(&batch), PATCH_ERR_SILENT_CPU);
    assert_int_equal(batch.error.cpu, RECORDER_SILENT_CPU);
    assert_string_equal(recorder_log(), "[");
    site_expect(&site, site.old_bytes);
}

/* A write fails and a CPU goes silent, one while the other makes the batch being put back. A write
 * that fails while putting back stops the machine, whoever made that necessary. */
static void cpu_silent_while_a_failed_batch_is_put_back(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        prepare(protocol, 5);
        assert_int_equal(sites_apply(&batch), PATCH_OK);

        unsigned writes = recorder.writes;
        unsigned rounds = recorder.rounds;

        for (unsigned run = 0; run < writes * (rounds + 3); run++) {
            prepare(protocol, 5);
            recorder.fail_write = run % writes + 1;
            recorder.silent_round = run / writes + 1;

            unsigned outcome = sites_apply(&batch);

            if (outcome == SITES_STOPPED && strstr(recorder.fatal_what, "put back") != NULL) {
                assert_true(recorder.rounds >= recorder.silent_round);
            } else if (outcome == SITES_STOPPED) {
                expect_stopped_by_silent_cpu();
            } else {
                assert_true(outcome == PATCH_ERR_WRITE || outcome == PATCH_ERR_SILENT_CPU);
                assert_int_equal(batch.error.cpu, recorder.rounds >= recorder.silent_round
                                                      ? RECORDER_SILENT_CPU
                                                      : 0);
                expect_put_back();
            }
        }
    }
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(cpu_silent_from_any_round_on_never_sees_a_mixture, setup),
    cmocka_unit_test_setup(cpu_silent_in_the_first_round_is_an_error_not_a_panic, setup),
    cmocka_unit_test_setup(cpu_silent_behind_a_written_tail_stops_the_machine, setup),
    cmocka_unit_test_setup(cpu_silent_while_only_first_bytes_change_is_an_error, setup),
    cmocka_unit_test_setup(cpu_that_does_not_come_to_a_stop_leaves_text_untouched, setup),
    cmocka_unit_test_setup(cpu_silent_while_a_failed_batch_is_put_back, setup),
};

HOST_TEST_MAIN(tests, NULL)
