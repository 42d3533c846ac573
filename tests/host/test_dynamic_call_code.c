// SPDX-License-Identifier: MIT
/* The code that dynamic_call() becomes, as Zydis reads it: from each gate along every branch, as
 * the picture in patching/dynamic_call.h draws it. Detects a comparison without its jump, in
 * another register or with another slot; a direct call behind the wrong comparison, or none; a
 * chain that does not end at the watch key and the slow way; sites that are not listed, or whose
 * number is not that of the places that call. Could miss: what happens between (moves of
 * arguments); test_dynamic_call.c executes it. */
#include "tests/host/dynamics.h"

#include "tests/host/host_test.h"

#include <Zydis/Zydis.h>

enum { WALK_MAX = 64 };

/* clang 14 leaves tests of constants between a comparison and its call; right, but no picture. */
#ifdef __clang__
enum { IS_PICTURE = false };
#else
enum { IS_PICTURE = true };
#endif

static ZydisDecoder decoder;

/* An instruction of this program. */
struct decoded {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    uint64_t next;
    uint64_t target; /* of a jump or call to an address that stands there; else 0 */
};

static struct decoded decode(uint64_t address)
{
    struct decoded decoded;

    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, (const void *)address, 16,
                                                    &decoded.instruction, decoded.operands)));
    decoded.next = address + decoded.instruction.length;
    decoded.target = 0;
    if ((decoded.instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR ||
         decoded.instruction.meta.category == ZYDIS_CATEGORY_COND_BR ||
         decoded.instruction.meta.category == ZYDIS_CATEGORY_CALL) &&
        decoded.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        ZydisCalcAbsoluteAddress(&decoded.instruction, &decoded.operands[0], address,
                                 &decoded.target);
    }
    return decoded;
}

static bool is_branch_of(const struct static_key *key, uint64_t address)
{
    for (uint32_t i = 0; i < key->site_count; i++) {
        if (key->sites[i].address == address) {
            return true;
        }
    }
    return false;
}

static bool is_comparison_of(const struct dynamic_call_slot *slot, uint64_t address)
{
    for (uint32_t i = 0; i < slot->site_count; i++) {
        if (slot->sites[i].address == address) {
            return true;
        }
    }
    return false;
}

static bool is_call_of(const struct static_call *call, uint64_t address)
{
    for (uint32_t i = 0; i < call->site_count; i++) {
        if (call->sites[i].address == address) {
            return true;
        }
    }
    return false;
}

/* Whether this is where something of @call stands that is patched. */
static bool is_site(const struct dynamic_call *call, uint64_t address)
{
    bool is = is_branch_of(call->gate, address) || is_branch_of(call->watch, address);

    for (uint32_t i = 0; i < call->slot_count; i++) {
        is |=
            is_comparison_of(&call->slots[i], address) || is_call_of(call->slots[i].call, address);
    }
    return is;
}

/* From @address along moves and jumps that are always taken to the next site. */
static uint64_t walk(const struct dynamic_call *call, uint64_t address)
{
    for (unsigned i = 0; i < WALK_MAX && !is_site(call, address); i++) {
        const struct decoded decoded = decode(address);

        if (decoded.instruction.meta.category == ZYDIS_CATEGORY_UNCOND_BR) {
            assert_int_not_equal(decoded.target, 0);
            address = decoded.target;
        } else {
            assert_int_not_equal(decoded.instruction.meta.category, ZYDIS_CATEGORY_COND_BR);
            assert_int_not_equal(decoded.instruction.meta.category, ZYDIS_CATEGORY_CALL);
            assert_int_not_equal(decoded.instruction.meta.category, ZYDIS_CATEGORY_RET);
            address = decoded.next;
        }
    }
    assert_true(is_site(call, address));
    return address;
}

/* cmp rax with the slot's value in memory, as the compiler left it, or with @target. */
static void expect_comparison(const struct dynamic_call_slot *slot, const struct decoded *decoded,
                              uint64_t address, uint64_t target)
{
    ZyanU64 where = 0;

    assert_int_equal(decoded->instruction.mnemonic, ZYDIS_MNEMONIC_CMP);
    assert_int_equal(decoded->instruction.length, 7);
    assert_int_equal(decoded->operands[0].type, ZYDIS_OPERAND_TYPE_REGISTER);
    assert_int_equal(decoded->operands[0].reg.value, ZYDIS_REGISTER_RAX);
    if (target != 0) {
        assert_int_equal(decoded->operands[1].type, ZYDIS_OPERAND_TYPE_IMMEDIATE);
        assert_int_equal(decoded->operands[1].imm.value.u, target);
        return;
    }
    assert_int_equal(decoded->operands[1].type, ZYDIS_OPERAND_TYPE_MEMORY);
    assert_true(ZYAN_SUCCESS(
        ZydisCalcAbsoluteAddress(&decoded->instruction, &decoded->operands[1], address, &where)));
    assert_ptr_equal(where, &slot->value);
}

/* What the chain does from @address on: each slot's comparison, jump and call; then the watch key.
 * @targets: NULL: compared in memory. */
static void expect_chain(const struct dynamic_call *call, uint64_t address,
                         const struct dynamic_targets *targets)
{
    for (uint32_t i = 0; i < call->slot_count; i++) {
        const struct dynamic_call_slot *slot = &call->slots[i];

        address = walk(call, address);
        assert_true(is_comparison_of(slot, address));
        const struct decoded comparison = decode(address);

        expect_comparison(slot, &comparison, address, targets != NULL ? targets->slot[i] : 0);
        const struct decoded jump = decode(comparison.next);

        assert_int_equal(jump.instruction.mnemonic, ZYDIS_MNEMONIC_JNZ);
        assert_true(is_call_of(slot->call, walk(call, jump.next)));
        address = jump.target;
    }
    assert_true(is_branch_of(call->watch, walk(call, address)));
}

/* Gate closed: it jumps to the watch key; the chain stands behind it. */
static void expect_code(const struct dynamic_subject *subject,
                        const struct dynamic_targets *targets)
{
    const struct dynamic_call *call = subject->call;

    for (uint32_t i = 0; i < call->gate->site_count; i++) {
        const struct decoded gate = decode(call->gate->sites[i].address);

        assert_int_equal(gate.instruction.mnemonic, ZYDIS_MNEMONIC_JMP);
        assert_true(is_branch_of(call->watch, walk(call, gate.target)));
        expect_chain(call, gate.next, targets);
    }
}

static void code_is_the_picture_at_boot(void **state)
{
    (void)state;
    if (!IS_PICTURE) {
        skip();
    }
    for (unsigned i = 0; i < SUBJECTS; i++) {
        expect_code(&dynamic_subjects[i], NULL);
    }
}

static void code_is_the_picture_with_values_in_the_text(void **state)
{
    (void)state;
    if (!IS_PICTURE) {
        skip();
    }
    for (unsigned i = 0; i < SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];
        struct dynamic_call_form form =
            dynamics_form(subject, "cbad", DYNAMIC_COMPARE_IMMEDIATE, false, false);

        for (uint32_t slot = subject->call->slot_count; slot < DYNAMIC_SLOTS_MAX; slot++) {
            form.targets.slot[slot] = 0;
        }
        dynamics_bring(subject, &form);
        expect_code(subject, &form.targets);
    }
}

/* One gate, two watch keys, a comparison and a call a slot. */
static void sites_are_listed_completely(void **state)
{
    (void)state;
    for (unsigned i = 0; i < SUBJECTS; i++) {
        const struct dynamic_subject *subject = &dynamic_subjects[i];
        const struct dynamic_call *call = subject->call;

        assert_int_equal(dynamics_look(subject).sites, subject->places);
        assert_int_equal(call->gate->site_count, subject->places);
        assert_int_equal(call->watch->site_count, 2 * subject->places);
        for (uint32_t slot = 0; slot < call->slot_count; slot++) {
            assert_int_equal(call->slots[slot].site_count, subject->places);
            assert_int_equal(call->slots[slot].call->site_count, subject->places);
        }
    }
}

static const struct CMUnitTest tests[] = {
    /* first: the table as the linker left it */
    DYNAMIC_TEST(code_is_the_picture_at_boot),
    DYNAMIC_TEST(code_is_the_picture_with_values_in_the_text),
    DYNAMIC_TEST(sites_are_listed_completely),
};

static int group_setup(void **state)
{
    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return dynamics_group_setup(state);
}

HOST_TEST_MAIN(tests, group_setup)
