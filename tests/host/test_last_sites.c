// SPDX-License-Identifier: MIT
/* Sites that are last, between others that are not. The watcher checks after every byte that an
 * int3 of a last site stands for the old instruction, and that nobody can execute an old one at
 * another site once somebody can have executed a new one at a last site: by fetching it, or because
 * the batch was put back. Here every protocol, every write that fails and every round from which on
 * a CPU is silent get their turn. Could miss: what a real CPU does beyond fetching stale bytes. */
#include "tests/host/sites.h"

#include "patching/instruction.h"
#include "tests/host/host_test.h"

#include <string.h>

enum {
    SITES_MAX = 8,
};

static struct patch_batch batch;
static struct test_site last_sites[SITES_MAX], other_sites[SITES_MAX];
static size_t last_count, other_count;

static const struct site_form nop1 = {INSTRUCTION_NOP, 1, 0, 0};
static const struct site_form ret1 = {INSTRUCTION_RETURN, 1, 0, 0};
static const struct site_form nop2 = {INSTRUCTION_NOP, 2, 0, 0};
static const struct site_form jump2 = {INSTRUCTION_JUMP, 2, 0, 0x40};
static const struct site_form jump2_back = {INSTRUCTION_JUMP, 2, 0, -0x70}; /* eb 90; nop2: 66 90 */
static const struct site_form nop5 = {INSTRUCTION_NOP, 5, 0, 0};
static const struct site_form jump5 = {INSTRUCTION_JUMP, 5, 0, 0x01020304};
static const struct site_form call5 = {INSTRUCTION_CALL, 5, 0, 0x01020304};
static const struct site_form call5_back = {INSTRUCTION_CALL, 5, 0, -0x01020304};
static const struct site_form compare7 = {INSTRUCTION_COMPARE, 7, 0, 0x01020304};
static const struct site_form compare7_other = {INSTRUCTION_COMPARE, 7, 0, -0x01020304};

static int setup(void **state)
{
    (void)state;
    recorder_reset();
    return 0;
}

static void begin(enum patch_protocol_id protocol, unsigned flags)
{
    recorder_reset();
    patch_batch_initialize(&batch, "last");
    batch.protocol = protocol;
    batch.flags = flags;
    last_count = 0;
    other_count = 0;
}

static void add_other(size_t offset, const struct site_form *from, const struct site_form *to)
{
    struct test_site site = site_make(offset, from, to);

    site_add(&batch, &site);
    other_sites[other_count++] = site;
}

static void add_last(size_t offset, const struct site_form *from, const struct site_form *to)
{
    struct test_site site = site_make(offset, from, to);

    recorder_watch_as_last(site.address);
    assert_int_equal(
        patch_batch_add_last(&batch, site.address, site.old_bytes, site.new_bytes, site.length),
        PATCH_OK);
    last_sites[last_count++] = site;
}

/* Last sites before, between and behind the others; by address the first site is a last one. */
static void add_mixed(void)
{
    add_last(1, &nop5, &jump5);
    add_other(16, &compare7, &compare7_other);
    add_other(35, &call5, &call5_back);
    add_last(48, &jump2, &nop2);
    add_other(64, &nop5, &call5);
    add_last(95, &jump5, &nop5);
    add_other(120, &nop1, &ret1);
    add_last(160, &nop2, &jump2_back);
}

/* Nothing but first bytes changes. */
static void add_without_tails(void)
{
    add_last(0, &jump2_back, &nop2);
    add_other(16, &jump5, &call5);
    add_other(32, &nop1, &ret1);
}

static unsigned plan(void)
{
    unsigned rounds = 0;

    platform_lock();
    assert_int_equal(patch_batch_plan_locked(&batch, &rounds), PATCH_OK);
    platform_unlock();
    return rounds;
}

static void expect_success(void)
{
    unsigned rounds = plan();

    assert_int_equal(sites_apply(&batch), PATCH_OK);
    assert_int_equal(recorder.rounds, rounds);
    assert_int_equal(batch.record.rounds, rounds);
    assert_int_equal(batch.record.traps, recorder.traps);
    recorder_expect_synced();
    for (size_t i = 0; i < last_count; i++) {
        site_expect(&last_sites[i], last_sites[i].new_bytes);
    }
    for (size_t i = 0; i < other_count; i++) {
        site_expect(&other_sites[i], other_sites[i].new_bytes);
    }
}

static void expect_put_back(void)
{
    for (size_t i = 0; i < last_count; i++) {
        site_expect(&last_sites[i], last_sites[i].old_bytes);
    }
    for (size_t i = 0; i < other_count; i++) {
        site_expect(&other_sites[i], other_sites[i].old_bytes);
    }
    for (unsigned cpu = 0; cpu < PATCH_CPU_MAX; cpu++) {
        assert_int_equal(patch_trap_cpus[cpu].references, 0);
    }
}

static bool last_site_may_be_new(void)
{
    for (size_t i = 0; i < last_count; i++) {
        if (*(const uint8_t *)last_sites[i].address == last_sites[i].new_bytes[0]) {
            return true;
        }
    }
    return false;
}

/* The machine stands: whoever still runs executes new instructions at the others. */
static void expect_others_new_or_int3(void)
{
    for (size_t i = 0; i < other_count; i++) {
        uint8_t first = *(const uint8_t *)other_sites[i].address;

        assert_true(first == INSN_INT3 || first == other_sites[i].new_bytes[0]);
    }
}

static void who_executes_a_last_site_anew_finds_all_others_new(void **state)
{
    static const struct site_form *const forms[][2] = {
        {&nop5, &jump5}, {&jump5, &nop5}, {&nop2, &jump2}, {&jump2, &nop2}, {&jump2_back, &jump2},
    };

    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        for (size_t run = 0; run < ARRAY_COUNT(forms) * 8 * 2; run++) {
            const struct site_form *const *pair = forms[run / 16];

            begin(protocol, 0);
            recorder.fetches_bytewise = run % 2 == 0;
            add_mixed();
            add_last(256 + run / 2 % 8, pair[0], pair[1]);
            expect_success();
        }
    }
}

static void last_sites_come_behind_all_others(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_INT3, 0);
    add_without_tails();
    expect_success();
    assert_string_equal(recorder_log(), "(w)S(w)S(w)S(w)S(w)S(w)S");

    begin(PATCH_PROTOCOL_INT3_BATCH, 0);
    add_mixed();
    expect_success();
    assert_int_equal(recorder.rounds, 3); /* the order costs no round */
}

static void sites_that_are_all_last_are_patched_as_any(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol, 0);
        add_last(0, &nop5, &jump5);
        add_last(16, &jump2, &nop2);
        expect_success();
    }

    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT);
    add_last(0, &nop5, &jump5);
    add_last(16, &jump2, &nop2);
    expect_success();
    assert_string_equal(recorder_log(), "(qq)S");
}

static void qword_leaves_the_others_to_the_three_steps(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_QWORD, 0);
    add_last(0, &nop5, &jump5);
    add_other(16, &nop5, &call5);
    add_last(29, &nop5, &jump5); /* across a quadword */
    expect_success();
    assert_string_equal(recorder_log(), "(ww)S(ww)S(wqw)S");
    assert_int_equal(batch.record.quadwords, 1);

    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT);
    add_last(0, &nop5, &jump5);
    add_other(16, &nop5, &call5);
    assert_int_equal(sites_apply(&batch), PATCH_ERR_QUADWORD);
    assert_int_equal(batch.error.address, other_sites[0].address);
    assert_string_equal(recorder_log(), "");
}

/* Sites whose bytes are equal are dropped: nobody is left to promise anything to. */
static void others_without_a_change_do_not_count(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_QWORD, PATCH_STRICT);
    add_last(0, &nop5, &jump5);
    add_other(16, &nop5, &nop5);
    expect_success();
    assert_string_equal(recorder_log(), "(q)S");
}

static bool is_last_address(const void *address)
{
    for (size_t i = 0; i < last_count; i++) {
        if (last_sites[i].address == (uint64_t)address) {
            return true;
        }
    }
    return false;
}

/* A failing write at another site is always put back; one at a last site is, as long as none of the
 * last ones can have been executed anew. */
static void failing_write_is_put_back_until_a_last_site_is_new(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        unsigned stops = 0;

        begin(protocol, 0);
        add_mixed();
        expect_success();

        unsigned writes = recorder.writes;

        for (unsigned run = 0; run < writes * FAULT_COUNT; run++) {
            begin(protocol, 0);
            add_mixed();
            recorder.fail_write = run / FAULT_COUNT + 1;
            recorder.fault = run % FAULT_COUNT;

            unsigned outcome = sites_apply(&batch);

            if (outcome != SITES_STOPPED) {
                assert_int_equal(outcome, PATCH_ERR_WRITE);
                expect_put_back();
                recorder_expect_synced();
                continue;
            }
            stops++;
            assert_non_null(strstr(recorder.fatal_what, "put back"));
            assert_true(is_last_address(recorder.fatal_address));
            expect_others_new_or_int3();
        }
        if (protocol == PATCH_PROTOCOL_STOP) {
            assert_int_equal(stops, 0); /* nobody executes anything meanwhile */
        } else {
            assert_true(stops >= last_count * FAULT_COUNT);
        }
    }
}

static void failing_write_among_last_sites_alone_is_put_back(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol, 0);
        add_last(0, &nop5, &jump5);
        add_last(13, &jump5, &nop5);
        expect_success();

        unsigned writes = recorder.writes;

        for (unsigned write = 1; write <= writes; write++) {
            begin(protocol, 0);
            add_last(0, &nop5, &jump5);
            add_last(13, &jump5, &nop5);
            recorder.fail_write = write;
            assert_int_equal(sites_apply(&batch), PATCH_ERR_WRITE);
            expect_put_back();
        }
    }
}

static void expect_silent_outcome(unsigned outcome, bool may_be_new)
{
    if (outcome != SITES_STOPPED) {
        assert_int_equal(outcome, PATCH_ERR_SILENT_CPU);
        assert_int_equal(batch.error.cpu, RECORDER_SILENT_CPU);
        expect_put_back();
        return;
    }
    assert_string_equal(recorder.fatal_what, "silent CPU");
    assert_int_equal(recorder.fatal_cpu, RECORDER_SILENT_CPU);
    assert_true(may_be_new == last_site_may_be_new());
    expect_others_new_or_int3();
}

/* Without tails a silent CPU is no reason to stop, but for the promise. */
static void silent_cpu_is_survived_until_a_last_site_is_new(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol, 0);
        add_without_tails();

        unsigned rounds = plan();

        for (unsigned round = 1; round <= rounds; round++) {
            begin(protocol, 0);
            add_without_tails();
            recorder.silent_round = round;

            unsigned outcome = sites_apply(&batch);
            bool is_stopped = protocol != PATCH_PROTOCOL_STOP && round == rounds;

            assert_true((outcome == SITES_STOPPED) == is_stopped);
            expect_silent_outcome(outcome, true);
        }
    }
}

static void silent_cpu_never_finds_the_promise_broken(void **state)
{
    (void)state;
    for (enum patch_protocol_id protocol = 0; protocol < SAFE_PROTOCOL_COUNT; protocol++) {
        begin(protocol, 0);
        add_mixed();

        unsigned rounds = plan();

        for (unsigned round = 1; round <= rounds; round++) {
            begin(protocol, 0);
            add_mixed();
            recorder.silent_round = round;

            unsigned outcome = sites_apply(&batch);

            assert_true(outcome == SITES_STOPPED || outcome == PATCH_ERR_SILENT_CPU);
            if (outcome != SITES_STOPPED) {
                expect_put_back();
            }
        }
    }
}

/* Nops and jumps alone, the old one as well as the new one. */
static void last_site_of_any_other_kind_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < site_form_count(); i++) {
        const struct site_form *form = &site_forms[i];
        bool may_be_last = form->kind == INSTRUCTION_NOP || form->kind == INSTRUCTION_JUMP;
        const struct site_form nop = {INSTRUCTION_NOP, form->length, 0, 0};

        for (unsigned is_old = 0; is_old < 2; is_old++) {
            begin(PATCH_PROTOCOL_INT3_BATCH, 0);
            add_last(64, is_old ? form : &nop, is_old ? &nop : form);
            assert_int_equal(sites_apply(&batch), may_be_last ? PATCH_OK : PATCH_ERR_INSTRUCTION);
            if (!may_be_last) {
                assert_int_equal(batch.error.address, last_sites[0].address);
                assert_string_equal(recorder_log(), "");
            }
        }
    }
}

/* Slots of a batch are used again. */
static void next_batch_knows_nothing_of_the_last_sites_before(void **state)
{
    (void)state;
    begin(PATCH_PROTOCOL_INT3_BATCH, 0);
    add_last(0, &nop5, &jump5);
    expect_success();
    begin(PATCH_PROTOCOL_INT3_BATCH, 0);
    add_other(0, &nop5, &call5);
    expect_success();
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test_setup(who_executes_a_last_site_anew_finds_all_others_new, setup),
    cmocka_unit_test_setup(last_sites_come_behind_all_others, setup),
    cmocka_unit_test_setup(sites_that_are_all_last_are_patched_as_any, setup),
    cmocka_unit_test_setup(qword_leaves_the_others_to_the_three_steps, setup),
    cmocka_unit_test_setup(others_without_a_change_do_not_count, setup),
    cmocka_unit_test_setup(failing_write_is_put_back_until_a_last_site_is_new, setup),
    cmocka_unit_test_setup(failing_write_among_last_sites_alone_is_put_back, setup),
    cmocka_unit_test_setup(silent_cpu_is_survived_until_a_last_site_is_new, setup),
    cmocka_unit_test_setup(silent_cpu_never_finds_the_promise_broken, setup),
    cmocka_unit_test_setup(last_site_of_any_other_kind_is_refused, setup),
    cmocka_unit_test_setup(next_batch_knows_nothing_of_the_last_sites_before, setup),
};

HOST_TEST_MAIN(tests, NULL)
