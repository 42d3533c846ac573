// SPDX-License-Identifier: MIT
/* The thunks of indirect branches, in this program's own text: what each mitigation makes of them,
 * by an independent decoder and by calling them; what a switch costs, refuses and puts back.
 * Detects a thunk that goes elsewhere, loses a register or keeps its old form. What happens to a
 * call during a switch: test_indirect_thunk_races.c. */
#include "tests/host/thunk_call.h"

#include "patching/record.h"
#include "tests/host/host_test.h"
#include "tests/host/recorder.h"
#include "tests/host/sites.h"

#include <Zydis/Zydis.h>
#include <string.h>

extern const uint8_t __x86_indirect_thunk_rax[], __x86_indirect_thunk_rcx[],
    __x86_indirect_thunk_rdx[], __x86_indirect_thunk_rbx[], __x86_indirect_thunk_rsi[],
    __x86_indirect_thunk_rdi[], __x86_indirect_thunk_rbp[], __x86_indirect_thunk_r8[],
    __x86_indirect_thunk_r9[], __x86_indirect_thunk_r10[], __x86_indirect_thunk_r11[],
    __x86_indirect_thunk_r12[], __x86_indirect_thunk_r13[], __x86_indirect_thunk_r14[],
    __x86_indirect_thunk_r15[];

static const struct {
    const char *name;
    const uint8_t *address; /* that the compiler calls */
    ZydisRegister through;
} thunks[THUNK_COUNT] = {
    {"rax", __x86_indirect_thunk_rax, ZYDIS_REGISTER_RAX},
    {"rcx", __x86_indirect_thunk_rcx, ZYDIS_REGISTER_RCX},
    {"rdx", __x86_indirect_thunk_rdx, ZYDIS_REGISTER_RDX},
    {"rbx", __x86_indirect_thunk_rbx, ZYDIS_REGISTER_RBX},
    {"rsi", __x86_indirect_thunk_rsi, ZYDIS_REGISTER_RSI},
    {"rdi", __x86_indirect_thunk_rdi, ZYDIS_REGISTER_RDI},
    {"rbp", __x86_indirect_thunk_rbp, ZYDIS_REGISTER_RBP},
    {"r8", __x86_indirect_thunk_r8, ZYDIS_REGISTER_R8},
    {"r9", __x86_indirect_thunk_r9, ZYDIS_REGISTER_R9},
    {"r10", __x86_indirect_thunk_r10, ZYDIS_REGISTER_R10},
    {"r11", __x86_indirect_thunk_r11, ZYDIS_REGISTER_R11},
    {"r12", __x86_indirect_thunk_r12, ZYDIS_REGISTER_R12},
    {"r13", __x86_indirect_thunk_r13, ZYDIS_REGISTER_R13},
    {"r14", __x86_indirect_thunk_r14, ZYDIS_REGISTER_R14},
    {"r15", __x86_indirect_thunk_r15, ZYDIS_REGISTER_R15},
};

static void expect_forms_of(enum mitigation id)
{
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        assert_memory_equal(thunks[i].address, thunk_forms[id][i], INDIRECT_THUNK_SITE_LENGTH);
    }
    assert_int_equal(mitigation_current(), id);
}

static void every_register_has_its_thunk_and_is_listed(void **state)
{
    (void)state;
    assert_int_equal(indirect_thunk_count, THUNK_COUNT);
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        const struct indirect_thunk_site site = indirect_thunk_site(i);

        assert_string_equal(site.name, thunks[i].name);
        assert_ptr_equal(site.address, thunks[i].address);
        assert_memory_equal(site.bytes, thunks[i].address, INDIRECT_THUNK_SITE_LENGTH);
    }
}

static void every_site_lies_inside_an_aligned_quadword(void **state)
{
    (void)state;
    for (unsigned i = 0; i < THUNK_COUNT; i++) {
        uint64_t first = (uint64_t)thunks[i].address;

        assert_int_equal(first / 8, (first + INDIRECT_THUNK_SITE_LENGTH - 1) / 8);
    }
}

/* One instruction as Zydis sees it. */
struct decoded {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t next;
    uint64_t target; /* of a direct branch */
};

static struct decoded decode(uint64_t address, ZydisMnemonic expected)
{
    struct decoded decoded = {0};
    ZydisDecoder decoder;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, (const void *)address, 15,
                                                    &decoded.instruction, decoded.operands)));
    assert_int_equal(decoded.instruction.mnemonic, expected);
    decoded.next = address + decoded.instruction.length;
    if (decoded.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        ZydisCalcAbsoluteAddress(&decoded.instruction, &decoded.operands[0], address,
                                 &decoded.target);
    }
    return decoded;
}

/* call setup; pause; lfence; jmp to pause. setup: mov [rsp], through; ret */
static void expect_retpoline(const uint8_t *thunk, ZydisRegister through)
{
    struct decoded call = decode((uint64_t)thunk, ZYDIS_MNEMONIC_CALL);
    struct decoded pause = decode(call.next, ZYDIS_MNEMONIC_PAUSE);
    struct decoded fence = decode(pause.next, ZYDIS_MNEMONIC_LFENCE);
    struct decoded loop = decode(fence.next, ZYDIS_MNEMONIC_JMP);
    struct decoded move = decode(call.target, ZYDIS_MNEMONIC_MOV);

    assert_int_equal(loop.target, call.next);
    assert_int_equal(move.operands[0].type, ZYDIS_OPERAND_TYPE_MEMORY);
    assert_int_equal(move.operands[0].mem.base, ZYDIS_REGISTER_RSP);
    assert_int_equal(move.operands[0].mem.index, ZYDIS_REGISTER_NONE);
    assert_int_equal(move.operands[0].mem.disp.value, 0);
    assert_int_equal(move.operands[1].reg.value, through);
    decode(move.next, ZYDIS_MNEMONIC_RET);
}

/* jmp to: [lfence;] jmp through */
static void expect_jump(const uint8_t *thunk, ZydisRegister through, bool fenced)
{
    struct decoded site = decode((uint64_t)thunk, ZYDIS_MNEMONIC_JMP);
    uint64_t at = fenced ? decode(site.target, ZYDIS_MNEMONIC_LFENCE).next : site.target;
    struct decoded jump = decode(at, ZYDIS_MNEMONIC_JMP);

    assert_int_equal(site.instruction.length, INDIRECT_THUNK_SITE_LENGTH);
    assert_int_equal(jump.operands[0].type, ZYDIS_OPERAND_TYPE_REGISTER);
    assert_int_equal(jump.operands[0].reg.value, through);
}

static void every_thunk_is_what_its_mitigation_says(void **state)
{
    (void)state;
    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        thunk_tests_switch(id);
        for (unsigned i = 0; i < THUNK_COUNT; i++) {
            if (id == MITIGATION_RETPOLINE) {
                expect_retpoline(thunks[i].address, thunks[i].through);
            } else {
                expect_jump(thunks[i].address, thunks[i].through, id == MITIGATION_LFENCE);
            }
        }
    }
}

static void every_thunk_arrives_with_all_registers_kept(void **state)
{
    (void)state;
    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        thunk_tests_switch(id);
        for (unsigned i = 0; i < THUNK_COUNT; i++) {
            for (uint64_t seed = 1; seed <= 20; seed++) {
                thunk_call((uint64_t)thunks[i].address, thunk_register(thunks[i].name), seed, 0);
            }
        }
    }
}

static void run_transition(enum mitigation from, enum mitigation to, enum patch_protocol_id id)
{
    struct patch_error error;
    struct patch_record record;
    struct patch_plan plan;

    thunk_tests_switch(from);
    thunk_tests_begin(to);
    assert_int_equal(mitigation_plan(to, &plan, &error), PATCH_OK);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(mitigation_set(to, &error), PATCH_OK);
    recorder_expect_synced();
    expect_forms_of(to);
    assert_true(patch_record_get(patch_record_newest(), &record));
    assert_string_equal(record.who, "mitigation");
    assert_string_equal(record.protocol, patch_protocol_name(id));
    assert_int_equal(record.sites, THUNK_COUNT);
    assert_int_equal(record.rounds, recorder.rounds);
    assert_int_equal(plan.sites, THUNK_COUNT);
    assert_int_equal(plan.rounds, record.rounds);
    assert_int_equal(plan.ipis, record.ipis);
}

/* qword takes one round: all sites must fit. */
static void every_switch_is_one_batch_by_every_protocol(void **state)
{
    (void)state;
    static const unsigned rounds[] = {
        [PATCH_PROTOCOL_INT3] = 3 * THUNK_COUNT,
        [PATCH_PROTOCOL_INT3_BATCH] = 3,
        [PATCH_PROTOCOL_QWORD] = 1,
        [PATCH_PROTOCOL_STOP] = 1,
    };

    for (enum patch_protocol_id id = 0; id < SAFE_PROTOCOL_COUNT; id++) {
        assert_int_equal(patch_protocol_set_default(id, 0), PATCH_OK);
        for (enum mitigation from = 0; from < MITIGATION_COUNT; from++) {
            for (enum mitigation to = 0; to < MITIGATION_COUNT; to++) {
                if (from != to) {
                    run_transition(from, to, id);
                    assert_int_equal(recorder.rounds, rounds[id]);
                }
            }
        }
    }
    assert_int_equal(patch_protocol_set_default(PATCH_PROTOCOL_INT3_BATCH, 0), PATCH_OK);
}

static void switch_to_the_present_one_costs_nothing(void **state)
{
    (void)state;
    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        struct patch_error error;
        struct patch_plan plan;

        thunk_tests_switch(id);
        thunk_tests_begin(id);

        uint64_t newest = patch_record_newest();

        assert_int_equal(mitigation_set(id, &error), PATCH_OK);
        assert_int_equal(mitigation_plan(id, &plan, &error), PATCH_OK);
        assert_int_equal(plan.sites + plan.rounds + plan.ipis, 0);
        assert_string_equal(recorder_log(), "");
        assert_int_equal(patch_record_newest(), newest);
    }
}

static void unknown_mitigation_is_refused(void **state)
{
    (void)state;
    static const int unknown[] = {MITIGATION_COUNT, MITIGATION_COUNT + 1, -1, INT32_MAX};

    for (size_t i = 0; i < ARRAY_COUNT(unknown); i++) {
        struct patch_error error = {0};
        struct patch_plan plan;

        thunk_tests_begin(MITIGATION_RETPOLINE);
        assert_int_equal(mitigation_set((enum mitigation)unknown[i], &error), PATCH_ERR_MITIGATION);
        assert_int_equal(error.status, PATCH_ERR_MITIGATION);
        assert_int_equal(mitigation_plan((enum mitigation)unknown[i], &plan, &error),
                         PATCH_ERR_MITIGATION);
        assert_string_equal(mitigation_name((enum mitigation)unknown[i]), "?");
        assert_string_equal(recorder_log(), "");
        expect_forms_of(MITIGATION_RETPOLINE);
    }
}

static void names_find_their_mitigations(void **state)
{
    (void)state;
    for (enum mitigation id = 0; id < MITIGATION_COUNT; id++) {
        assert_int_equal(mitigation_find(mitigation_name(id)), id);
    }
    assert_int_equal(mitigation_find(""), MITIGATION_COUNT);
    assert_int_equal(mitigation_find("lfenc"), MITIGATION_COUNT);
    assert_int_equal(mitigation_find("?"), MITIGATION_COUNT);
}

static void switch_where_none_may_patch_is_refused(void **state)
{
    (void)state;
    struct patch_error error = {0};
    struct patch_plan plan;

    recorder.may_patch = false;
    assert_int_equal(mitigation_set(MITIGATION_NONE, &error), PATCH_ERR_CONTEXT);
    assert_int_equal(error.status, PATCH_ERR_CONTEXT);
    assert_int_equal(mitigation_plan(MITIGATION_NONE, &plan, &error), PATCH_ERR_CONTEXT);
    assert_string_equal(recorder_log(), "");
    assert_int_equal(mitigation_current(), MITIGATION_RETPOLINE);
}

/* Also if the second one is there already: it has no site that could collide. */
static void transaction_takes_one_mitigation(void **state)
{
    (void)state;
    for (enum mitigation second = 0; second < MITIGATION_COUNT; second++) {
        struct patch_change changes[] = {mitigation_change_to(MITIGATION_NONE),
                                         mitigation_change_to(second)};
        struct patch_error error;

        thunk_tests_begin(MITIGATION_NONE);
        assert_int_equal(patch_transaction("two", changes, 2, &error), PATCH_ERR_DUPLICATE);
        assert_string_equal(error.name, "mitigation");
        expect_forms_of(MITIGATION_RETPOLINE);
        assert_int_equal(patch_transaction("one", changes, 1, &error), PATCH_OK);
        expect_forms_of(MITIGATION_NONE);
        thunk_tests_switch(MITIGATION_RETPOLINE);
    }
}

/* Each write of a switch fails in turn, in each way. 50 writes are more than a batch has. */
static void failing_write_leaves_all_thunks_as_they_were(void **state)
{
    (void)state;
    unsigned failures = 0;

    for (unsigned write = 1; write <= 50; write++) {
        for (enum recorder_fault fault = 0; fault < FAULT_COUNT; fault++) {
            struct patch_error error;

            thunk_tests_begin(MITIGATION_NONE);
            recorder.fail_write = write;
            recorder.fault = fault;
            if (mitigation_set(MITIGATION_NONE, &error) == PATCH_OK) {
                expect_forms_of(MITIGATION_NONE);
                thunk_tests_switch(MITIGATION_RETPOLINE);
                continue;
            }
            failures++;
            assert_int_equal(error.status, PATCH_ERR_WRITE);
            assert_string_equal(error.name, "mitigation");
            assert_in_range(error.address, (uint64_t)thunks[0].address,
                            (uint64_t)thunks[THUNK_COUNT - 1].address);
            expect_forms_of(MITIGATION_RETPOLINE);
        }
    }
    /* int3 and first byte of 15 sites, and their tails */
    assert_int_equal(failures, 3 * THUNK_COUNT * FAULT_COUNT);
}

/* Somebody else has written there: nothing is touched. */
static void foreign_bytes_in_a_thunk_are_refused(void **state)
{
    (void)state;
    struct patch_error error;
    volatile uint8_t *site = (volatile uint8_t *)(uint64_t)thunks[7].address;

    thunk_tests_begin(MITIGATION_LFENCE);
    site[1] ^= 1;
    assert_int_equal(mitigation_set(MITIGATION_LFENCE, &error), PATCH_ERR_UNEXPECTED);
    site[1] ^= 1;
    assert_ptr_equal(error.address, site);
    assert_string_equal(recorder_log(), "");
    expect_forms_of(MITIGATION_RETPOLINE);
}

static const struct CMUnitTest tests[] = {
    THUNK_TEST(every_register_has_its_thunk_and_is_listed),
    THUNK_TEST(every_site_lies_inside_an_aligned_quadword),
    THUNK_TEST(every_thunk_is_what_its_mitigation_says),
    THUNK_TEST(every_thunk_arrives_with_all_registers_kept),
    THUNK_TEST(every_switch_is_one_batch_by_every_protocol),
    THUNK_TEST(switch_to_the_present_one_costs_nothing),
    THUNK_TEST(unknown_mitigation_is_refused),
    THUNK_TEST(names_find_their_mitigations),
    THUNK_TEST(switch_where_none_may_patch_is_refused),
    THUNK_TEST(transaction_takes_one_mitigation),
    THUNK_TEST(failing_write_leaves_all_thunks_as_they_were),
    THUNK_TEST(foreign_bytes_in_a_thunk_are_refused),
};

HOST_TEST_MAIN(tests, thunk_tests_group_setup)
