// SPDX-License-Identifier: MIT
/* Static calls in every state: each call, inline and out of line, goes from each target to each,
 * and to none and back; all sites have the exact bytes of the picture in patching/static_call.h, as
 * Zydis reads them too, and running them does what was meant. Detects: a wrong instruction, a lost
 * condition, upper bits of a result of 0, a site or a trampoline left behind, rounds, writes or
 * records that should not be, and whatever the recorder detects. Could miss: what only other CPUs
 * see (test_static_call_steps, test_static_call_races). */
#include "tests/host/calls.h"

#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <Zydis/Zydis.h>
#include <string.h>

static void calls_work_as_defined(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        const struct tested_call *tested = &tested_calls[i];

        calls_expect_text(tested, tested->initial_form, tested->initial);
        calls_expect_execution(tested, tested->initial);
    }
}

/* A call, a jump and a conditional jump in assembler; a call and a jump that the compiler made; and
 * two calls below in this file. */
static void every_kind_of_site_is_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        const struct static_call *call = tested_calls[i].call;
        unsigned counts[3] = {0};

        for (uint32_t site = 0; site < call->site_count; site++) {
            assert_int_equal(call->sites[site].length,
                             call->sites[site].kind == CALL_SITE_JUMP_IF ? 6 : 5);
            counts[call->sites[site].kind]++;
        }
        assert_int_equal(counts[CALL_SITE_CALL], &tested_calls[i] == call_nullable ? 4 : 2);
        assert_int_equal(counts[CALL_SITE_JUMP], 2);
        assert_int_equal(counts[CALL_SITE_JUMP_IF], 1);
    }
    assert_int_equal(call_lonely->call->site_count, 0);
}

/* From (form, from) to (form, to), watched byte by byte, and everything about the result. */
static void transition_run(const struct tested_call *tested, enum static_call_form form,
                           enum call_state from, enum call_state to)
{
    uint64_t newest;
    bool changes = from != to;

    calls_bring(tested, form, from);
    newest = patch_record_newest();
    calls_watch(tested, form, to);
    assert_int_equal(static_call_set(tested->call, tested->targets[to], NULL), PATCH_OK);
    recorder_expect_synced();
    calls_expect_text(tested, form, to);
    calls_expect_execution(tested, to);
    assert_int_equal(recorder.rounds, changes ? 3 : 0);
    assert_int_equal(patch_record_newest() - newest, changes);
    if (!changes) {
        assert_string_equal(recorder_log(), "");
    }
}

static void every_transition_in_both_forms_is_exact(void **state)
{
    (void)state;
    for (unsigned number = 0; number < TESTED_CALLS * STATIC_CALL_FORM_COUNT; number++) {
        const struct tested_call *tested = &tested_calls[number / STATIC_CALL_FORM_COUNT];
        enum static_call_form form = number % STATIC_CALL_FORM_COUNT;

        for (enum call_state from = 0; from < STATE_COUNT; from++) {
            for (enum call_state to = 0; to < STATE_COUNT; to++) {
                if (tested_call_has(tested, from) && tested_call_has(tested, to)) {
                    transition_run(tested, form, from, to);
                }
            }
        }
    }
}

/* What Zydis calls the instruction of @kind in @state. */
static ZydisMnemonic expected_mnemonic(const struct tested_call *tested, enum call_site_kind kind,
                                       enum static_call_form form, enum call_state state)
{
    bool is_empty = state == STATE_EMPTY && form == STATIC_CALL_INLINE;
    bool is_zero = tested->call->empty == STATIC_CALL_MAY_BE_ZERO;

    if (kind == CALL_SITE_CALL && is_empty) {
        return is_zero ? ZYDIS_MNEMONIC_XOR : ZYDIS_MNEMONIC_NOP;
    }
    if (kind == CALL_SITE_JUMP && is_empty && !is_zero) {
        return ZYDIS_MNEMONIC_RET;
    }
    return kind == CALL_SITE_CALL   ? ZYDIS_MNEMONIC_CALL
           : kind == CALL_SITE_JUMP ? ZYDIS_MNEMONIC_JMP
                                    : ZYDIS_MNEMONIC_JNZ;
}

static uint64_t expected_target(const struct tested_call *tested, enum static_call_form form,
                                enum call_state state)
{
    if (form == STATIC_CALL_OUT_OF_LINE) {
        return tested->call->trampoline;
    }
    if (state != STATE_EMPTY) {
        return (uint64_t)tested->targets[state];
    }
    return tested->call->empty == STATIC_CALL_MAY_BE_ZERO ? (uint64_t)static_call_return_zero
                                                          : (uint64_t)static_call_return_nothing;
}

static void expect_disassembly(uint64_t address, size_t length, ZydisMnemonic mnemonic,
                               uint64_t target)
{
    ZydisDisassembledInstruction instruction;

    assert_true(ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, address,
                                                   (const void *)address, length, &instruction)));
    assert_int_equal(instruction.info.mnemonic, mnemonic);
    if (mnemonic != ZYDIS_MNEMONIC_RET) {
        assert_int_equal(instruction.info.length, length);
    }
    if (mnemonic == ZYDIS_MNEMONIC_CALL || mnemonic == ZYDIS_MNEMONIC_JMP ||
        mnemonic == ZYDIS_MNEMONIC_JNZ) {
        uint64_t reached;

        assert_true(ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(
            &instruction.info, &instruction.operands[0], address, &reached)));
        assert_int_equal(reached, target);
    }
    if (mnemonic == ZYDIS_MNEMONIC_XOR) {
        assert_int_equal(instruction.operands[0].reg.value, ZYDIS_REGISTER_EAX);
        assert_int_equal(instruction.operands[1].reg.value, ZYDIS_REGISTER_EAX);
    }
}

static void disassembly_expect(const struct tested_call *tested, enum static_call_form form,
                               enum call_state state)
{
    const struct static_call *call = tested->call;

    calls_bring(tested, form, state);
    for (uint32_t i = 0; i < call->site_count; i++) {
        const struct call_site *site = &call->sites[i];

        expect_disassembly(site->address, site->length,
                           expected_mnemonic(tested, site->kind, form, state),
                           expected_target(tested, form, state));
    }
    expect_disassembly(call->trampoline, 5,
                       expected_mnemonic(tested, CALL_SITE_JUMP, STATIC_CALL_INLINE, state),
                       expected_target(tested, STATIC_CALL_INLINE, state));
}

static void every_site_disassembles_as_meant(void **state)
{
    (void)state;
    for (size_t i = 0; i < TESTED_CALLS; i++) {
        for (enum call_state to = 0; to < STATE_COUNT; to++) {
            if (tested_call_has(&tested_calls[i], to)) {
                disassembly_expect(&tested_calls[i], STATIC_CALL_INLINE, to);
                disassembly_expect(&tested_calls[i], STATIC_CALL_OUT_OF_LINE, to);
            }
        }
    }
}

static unsigned evaluated;

static uint64_t evaluate(void)
{
    return ++evaluated;
}

static void arguments_are_evaluated_without_a_target(void **state)
{
    (void)state;
    calls_bring(call_nullable, STATIC_CALL_INLINE, STATE_EMPTY);
    evaluated = 0;
    static_call(nullable)(evaluate(), 2);
    static_call(nullable)(evaluate(), evaluate());
    assert_int_equal(evaluated, 3);
}

static void call_without_sites_changes_its_trampoline(void **state)
{
    (void)state;
    calls_watch(call_lonely, STATIC_CALL_FORM_DEFAULT, STATE_B);
    assert_int_equal(static_call_update(lonely, nothing_b, NULL), PATCH_OK);
    assert_int_equal(recorder.rounds, 3);
    calls_expect_text(call_lonely, STATIC_CALL_FORM_DEFAULT, STATE_B);
    calls_begin();
    calls_watch(call_lonely, STATIC_CALL_FORM_DEFAULT, STATE_EMPTY);
    assert_int_equal(static_call_update(lonely, NULL, NULL), PATCH_OK);
    calls_expect_text(call_lonely, STATIC_CALL_FORM_DEFAULT, STATE_EMPTY);
}

static const struct CMUnitTest tests[] = {
    CALL_TEST(calls_work_as_defined),
    CALL_TEST(every_kind_of_site_is_found),
    CALL_TEST(every_transition_in_both_forms_is_exact),
    CALL_TEST(every_site_disassembles_as_meant),
    CALL_TEST(arguments_are_evaluated_without_a_target),
    CALL_TEST(call_without_sites_changes_its_trampoline),
};

HOST_TEST_MAIN(tests, calls_group_setup)
