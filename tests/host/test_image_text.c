// SPDX-License-Identifier: MIT
/* The reader of dispatcher images against Zydis, an independent decoder, over every instruction of
 * every shape with 0 to 64 targets, and over random bytes. Detects a wrong length, kind or operand,
 * and bytes taken for what they are not. Could miss: bytes that no random draw here hits. */
#include "patching/dispatcher_image.h"
#include "patching/image_text.h"
#include "patching/instruction.h"

#include "tests/host/host_test.h"

#include <Zydis/Zydis.h>
#include <string.h>

#define IMAGE_ADDRESS 0xffffffffc0020000
#define FALLBACK      0xffffffff81c00f10

static ZydisDecodedInstruction zydis_instruction;
static ZydisDecodedOperand zydis_operands[ZYDIS_MAX_OPERAND_COUNT];

static bool zydis_decode(const uint8_t *bytes, size_t length)
{
    ZydisDecoder decoder;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    return ZYAN_SUCCESS(
        ZydisDecoderDecodeFull(&decoder, bytes, length, &zydis_instruction, zydis_operands));
}

static void expect_same_as_zydis(const struct image_instruction *instruction, const uint8_t *bytes,
                                 uint64_t address)
{
    static const ZydisMnemonic mnemonics[] = {
        [IMAGE_COMPARE] = ZYDIS_MNEMONIC_CMP,
        [IMAGE_JUMP_IF_EQUAL] = ZYDIS_MNEMONIC_JZ,
        [IMAGE_JUMP_IF_GREATER] = ZYDIS_MNEMONIC_JNLE,
        [IMAGE_JUMP] = ZYDIS_MNEMONIC_JMP,
        [IMAGE_NOP] = ZYDIS_MNEMONIC_NOP,
        [IMAGE_INT3] = ZYDIS_MNEMONIC_INT3,
    };
    ZyanU64 target = 0;

    assert_true(zydis_decode(bytes, instruction->length));
    assert_int_equal(zydis_instruction.length, instruction->length);
    assert_int_equal(zydis_instruction.mnemonic, mnemonics[instruction->kind]);
    if (image_instruction_is_jump(instruction->kind)) {
        assert_int_equal(zydis_operands[0].type, ZYDIS_OPERAND_TYPE_IMMEDIATE);
        ZydisCalcAbsoluteAddress(&zydis_instruction, &zydis_operands[0], address, &target);
        assert_int_equal(target, instruction->operand);
    } else if (instruction->kind == IMAGE_COMPARE) {
        assert_int_equal(zydis_operands[0].reg.value, ZYDIS_REGISTER_RDX);
        assert_int_equal(zydis_operands[1].imm.value.s, (int64_t)instruction->operand);
    } else {
        assert_int_equal(instruction->operand, 0);
    }
}

/* Each instruction decodes from exactly its own bytes: with one less it is cut off. */
static void check_image(const uint8_t *bytes, size_t length, uint64_t address)
{
    struct image_instruction instruction, cut;

    for (size_t at = 0; at < length; at += instruction.length) {
        assert_true(image_instruction_decode(bytes + at, length - at, address + at, &instruction));
        assert_true(instruction.length <= IMAGE_INSTRUCTION_LONGEST);
        expect_same_as_zydis(&instruction, bytes + at, address + at);
        assert_false(
            image_instruction_decode(bytes + at, instruction.length - 1u, address + at, &cut));
    }
}

static void every_instruction_of_every_image_means_the_same_to_zydis(void **state)
{
    (void)state;
    static uint8_t bytes[DISPATCHER_HALF_BYTES];
    static uint64_t targets[DISPATCHER_ENTRY_MAX];
    static uint8_t hottest[DISPATCHER_ENTRY_MAX];
    struct dispatcher_image_request request = {
        .address = IMAGE_ADDRESS, .fallback = FALLBACK, .targets = targets, .hottest = hottest};
    size_t length;

    for (unsigned i = 0; i < DISPATCHER_ENTRY_MAX; i++) {
        targets[i] = 0xffffffff90000000 + i * 0x123450ull;
        hottest[i] = (uint8_t)i;
    }
    for (request.count = 0; request.count <= DISPATCHER_ENTRY_MAX; request.count++) {
        for (request.shape = 0; request.shape < DISPATCHER_SHAPE_COUNT; request.shape++) {
            assert_int_equal(dispatcher_image_generate(&request, bytes, &length, NULL), PATCH_OK);
            check_image(bytes, length, IMAGE_ADDRESS);
        }
    }
}

/* Whatever random bytes are taken for, they are that; each draw begins like something known. */
static void random_bytes_are_taken_for_nothing_else(void **state)
{
    (void)state;
    static const uint8_t beginnings[][3] = {
        {0x48, 0x81, 0xfa},
        {0x0f, 0x84},
        {0x0f, 0x8f},
        {0x0f, 0x1f},
        {0x66, 0x0f, 0x1f},
        {0xe9},
        {0xeb},
        {0x74},
        {0x7f},
        {0x66},
        {0xcc},
        {0x90},
    };
    uint64_t random = 1;
    unsigned accepted = 0;

    for (unsigned run = 0; run < 300000; run++) {
        const uint8_t *beginning = beginnings[run % ARRAY_COUNT(beginnings)];
        struct image_instruction instruction;
        uint8_t bytes[16];

        for (size_t i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (next_random(&random) & 3) != 0 ? 0 : (uint8_t)next_random(&random);
        }
        for (size_t i = 0; i < 3 && run % 13 != 0; i++) {
            bytes[i] = beginning[i] != 0 || i == 0 ? beginning[i] : bytes[i];
        }
        if (image_instruction_decode(bytes, sizeof(bytes), IMAGE_ADDRESS, &instruction)) {
            accepted++;
            expect_same_as_zydis(&instruction, bytes, IMAGE_ADDRESS);
        }
    }
    assert_true(accepted > 100000);
}

/* What is new to this reader is no site: instruction.c goes on refusing it. */
static void compares_and_long_nops_cannot_be_patched(void **state)
{
    (void)state;
    static const uint8_t compare[] = {0x48, 0x81, 0xfa, 0, 0, 0, 0};
    static const uint8_t nop8[] = {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0};
    struct image_instruction read;
    struct instruction instruction;

    assert_true(image_instruction_decode(compare, sizeof(compare), 0, &read));
    assert_true(image_instruction_decode(nop8, sizeof(nop8), 0, &read));
    for (size_t length = 0; length <= sizeof(compare); length++) {
        assert_int_not_equal(instruction_decode(compare, length, 0, &instruction), PATCH_OK);
        assert_int_not_equal(instruction_decode(nop8, length, 0, &instruction), PATCH_OK);
    }
}

/* Between others: the seed's own bytes, read as its listing says. */
static void seed_bytes_read_like_its_listing(void **state)
{
    (void)state;
    static const uint8_t code[] = {0x48, 0x81, 0xfa, 0xff, 0xff, 0xff, 0xff, /* cmp rdx, -1 */
                                   0x0f, 0x84, 0xf2, 0xdf, 0xff, 0x3f,       /* je -1 */
                                   0xe9, 0xfe, 0xee, 0xbf, 0xc1};            /* jmp thunk */
    const uint64_t address = 0xffffffffc0002000;
    struct image_instruction instruction;

    assert_true(image_instruction_decode(code, sizeof(code), address, &instruction));
    assert_int_equal(instruction.kind, IMAGE_COMPARE);
    assert_int_equal(instruction.operand, UINT64_MAX);
    assert_true(image_instruction_decode(code + 7, 6, address + 7, &instruction));
    assert_int_equal(instruction.kind, IMAGE_JUMP_IF_EQUAL);
    assert_int_equal(instruction.operand, UINT64_MAX);
    assert_true(image_instruction_decode(code + 13, 5, address + 13, &instruction));
    assert_int_equal(instruction.kind, IMAGE_JUMP);
    assert_int_equal(instruction.operand, FALLBACK);
    assert_string_equal(image_instruction_name(instruction.kind), "jmp");
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_instruction_of_every_image_means_the_same_to_zydis),
    cmocka_unit_test(random_bytes_are_taken_for_nothing_else),
    cmocka_unit_test(compares_and_long_nops_cannot_be_patched),
    cmocka_unit_test(seed_bytes_read_like_its_listing),
};

HOST_TEST_MAIN(tests, NULL)
