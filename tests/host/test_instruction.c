// SPDX-License-Identifier: MIT
/* Encoder and decoder against Zydis, an independent decoder. Detects a wrong byte, length,
 * condition or target, and bytes accepted that are no single known instruction. Could miss: bytes
 * that no random draw here hits. */
#include "patching/instruction.h"

#include "tests/host/host_test.h"
#include "tests/host/recorder.h"

#include <Zydis/Zydis.h>
#include <string.h>

enum { LENGTHS = PATCH_SITE_LENGTH_MAX + 2 }; /* 0 and one too many as well */

static const uint64_t addresses[] = {0x400000, 0xffffffff80100000, 0xffffffffffffff00};

static ZydisDecodedInstruction zydis_instruction;
static ZydisDecodedOperand zydis_operands[ZYDIS_MAX_OPERAND_COUNT];

/* Decodes with Zydis. Returns its length, or 0 if these are no instruction. */
static size_t zydis_decode(const uint8_t *bytes, size_t length)
{
    ZydisDecoder decoder;

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZyanStatus status =
        ZydisDecoderDecodeFull(&decoder, bytes, length, &zydis_instruction, zydis_operands);

    return ZYAN_SUCCESS(status) ? zydis_instruction.length : 0;
}

static ZyanU64 zydis_target(uint64_t address)
{
    ZyanU64 target = 0;

    ZydisCalcAbsoluteAddress(&zydis_instruction, &zydis_operands[0], address, &target);
    return target;
}

/* cmp rax, something; what it is compared with is the target. */
static void expect_comparison(const struct instruction *instruction, uint64_t address)
{
    const ZydisDecodedOperand *with = &zydis_operands[1];
    ZyanU64 target = 0;

    assert_int_equal(zydis_operands[0].reg.value, ZYDIS_REGISTER_RAX);
    assert_int_equal(zydis_instruction.operand_width, 64);
    if (instruction->kind == INSTRUCTION_COMPARE) {
        assert_int_equal(with->type, ZYDIS_OPERAND_TYPE_IMMEDIATE);
        assert_true(with->imm.is_signed);
        assert_int_equal((uint64_t)with->imm.value.s, instruction->target);
        return;
    }
    assert_int_equal(with->type, ZYDIS_OPERAND_TYPE_MEMORY);
    assert_int_equal(with->size, 64);
    assert_int_equal(with->mem.base, ZYDIS_REGISTER_RIP);
    assert_int_equal(with->mem.index, ZYDIS_REGISTER_NONE);
    ZydisCalcAbsoluteAddress(&zydis_instruction, with, address, &target);
    assert_int_equal(target, instruction->target);
}

/* call [rip + displacement]: the address of the word is the target. */
static void expect_call_through_memory(const struct instruction *instruction, uint64_t address)
{
    const ZydisDecodedOperand *word = &zydis_operands[0];
    ZyanU64 target = 0;

    assert_int_equal(word->type, ZYDIS_OPERAND_TYPE_MEMORY);
    assert_int_equal(word->size, 64);
    assert_int_equal(word->mem.base, ZYDIS_REGISTER_RIP);
    assert_int_equal(word->mem.index, ZYDIS_REGISTER_NONE);
    assert_int_equal(zydis_instruction.meta.branch_type, ZYDIS_BRANCH_TYPE_NEAR);
    ZydisCalcAbsoluteAddress(&zydis_instruction, word, address, &target);
    assert_int_equal(target, instruction->target);
}

static bool is_comparison(enum instruction_kind kind)
{
    return kind == INSTRUCTION_COMPARE || kind == INSTRUCTION_COMPARE_MEMORY;
}

static void expect_same_meaning(const struct instruction *instruction, const uint8_t *bytes,
                                uint64_t address)
{
    static const ZydisMnemonic conditions[16] = {
        ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_JB,  ZYDIS_MNEMONIC_JNB,
        ZYDIS_MNEMONIC_JZ, ZYDIS_MNEMONIC_JNZ, ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_JNBE,
        ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_JP,  ZYDIS_MNEMONIC_JNP,
        ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_JLE, ZYDIS_MNEMONIC_JNLE,
    };
    static const ZydisMnemonic mnemonics[] = {
        [INSTRUCTION_NOP] = ZYDIS_MNEMONIC_NOP,
        [INSTRUCTION_JUMP] = ZYDIS_MNEMONIC_JMP,
        [INSTRUCTION_CALL] = ZYDIS_MNEMONIC_CALL,
        [INSTRUCTION_RETURN] = ZYDIS_MNEMONIC_RET,
        [INSTRUCTION_RETURN_ZERO] = ZYDIS_MNEMONIC_XOR,
        [INSTRUCTION_COMPARE] = ZYDIS_MNEMONIC_CMP,
        [INSTRUCTION_COMPARE_MEMORY] = ZYDIS_MNEMONIC_CMP,
        [INSTRUCTION_CALL_MEMORY] = ZYDIS_MNEMONIC_CALL,
    };
    bool is_return = instruction->kind == INSTRUCTION_RETURN;
    size_t length = zydis_decode(bytes, instruction->length);

    assert_int_equal(length, is_return ? 1 : instruction->length);
    assert_int_equal(zydis_instruction.mnemonic, instruction->kind == INSTRUCTION_JUMP_IF
                                                     ? conditions[instruction->condition]
                                                     : mnemonics[instruction->kind]);
    if (is_comparison(instruction->kind)) {
        expect_comparison(instruction, address);
    } else if (instruction->kind == INSTRUCTION_CALL_MEMORY) {
        expect_call_through_memory(instruction, address);
    } else if (instruction->target != 0) {
        assert_int_equal(zydis_target(address), instruction->target);
    }
    if (instruction->kind == INSTRUCTION_RETURN_ZERO) {
        assert_int_equal(zydis_operands[0].reg.value, ZYDIS_REGISTER_EAX);
        assert_int_equal(zydis_operands[1].reg.value, ZYDIS_REGISTER_EAX);
    }
}

static bool has_target(enum instruction_kind kind)
{
    return kind == INSTRUCTION_JUMP || kind == INSTRUCTION_JUMP_IF || kind == INSTRUCTION_CALL;
}

static bool kind_has_length(enum instruction_kind kind, size_t length)
{
    switch (kind) {
    case INSTRUCTION_NOP:
    case INSTRUCTION_RETURN:
        return length >= 1 && length <= 7;
    case INSTRUCTION_JUMP:
        return length == 2 || length == 5;
    case INSTRUCTION_JUMP_IF:
        return length == 2 || length == 6;
    case INSTRUCTION_CALL:
        return length == 5 || length == 6;
    case INSTRUCTION_CALL_MEMORY:
        return length == 6;
    case INSTRUCTION_COMPARE:
    case INSTRUCTION_COMPARE_MEMORY:
        return length == 7;
    default:
        return length == 5;
    }
}

static void check_round_trip(struct instruction instruction, uint64_t address)
{
    uint8_t bytes[PATCH_SITE_LENGTH_MAX] = {0};
    struct instruction decoded = {0};
    enum patch_status status = instruction_encode(&instruction, address, bytes);

    if (!kind_has_length(instruction.kind, instruction.length)) {
        assert_int_equal(status, PATCH_ERR_LENGTH);
        return;
    }
    assert_int_equal(status, PATCH_OK);
    assert_int_equal(instruction_decode(bytes, instruction.length, address, &decoded), PATCH_OK);
    assert_int_equal(decoded.kind, instruction.kind);
    assert_int_equal(decoded.length, instruction.length);
    assert_int_equal(decoded.condition, instruction.condition);
    assert_int_equal(decoded.target, instruction.target);
    expect_same_meaning(&decoded, bytes, address);
}

static void every_encoding_means_the_same_to_zydis(void **state)
{
    (void)state;
    static const int32_t distances[] = {-128, -1, 0, 1, 127};

    for (enum instruction_kind kind = 0; kind < INSTRUCTION_KIND_COUNT; kind++) {
        for (unsigned run = 0; run < LENGTHS * 16 * 5 * ARRAY_COUNT(addresses); run++) {
            uint64_t address = addresses[run % ARRAY_COUNT(addresses)];
            uint8_t length = (uint8_t)(run / ARRAY_COUNT(addresses) % LENGTHS);
            struct instruction instruction = {.kind = kind, .length = length};

            if (kind == INSTRUCTION_JUMP_IF) {
                instruction.condition = run / (LENGTHS * ARRAY_COUNT(addresses)) % 16;
            }
            if (has_target(kind) || is_comparison(kind) || kind == INSTRUCTION_CALL_MEMORY) {
                uint64_t base = kind == INSTRUCTION_COMPARE ? 0 : address + length;
                size_t distance = run / (16 * LENGTHS * ARRAY_COUNT(addresses)) % 5;

                instruction.target = base + (uint64_t)(int64_t)distances[distance];
            }
            check_round_trip(instruction, address);
        }
    }
}

static void targets_out_of_reach_are_refused(void **state)
{
    (void)state;
    static const struct {
        enum instruction_kind kind;
        uint8_t length;
        int64_t reach;
    } forms[] = {
        {INSTRUCTION_JUMP, 2, INT8_MAX},    {INSTRUCTION_JUMP, 5, INT32_MAX},
        {INSTRUCTION_JUMP_IF, 2, INT8_MAX}, {INSTRUCTION_JUMP_IF, 6, INT32_MAX},
        {INSTRUCTION_CALL, 5, INT32_MAX},   {INSTRUCTION_COMPARE_MEMORY, 7, INT32_MAX},
        {INSTRUCTION_CALL, 6, INT32_MAX},   {INSTRUCTION_CALL_MEMORY, 6, INT32_MAX},
    };

    for (size_t i = 0; i < ARRAY_COUNT(forms); i++) {
        uint64_t end = 0x7f0000000000 + forms[i].length;
        struct instruction instruction = {.kind = forms[i].kind, .length = forms[i].length};
        uint8_t bytes[PATCH_SITE_LENGTH_MAX];

        instruction.target = end + (uint64_t)forms[i].reach;
        check_round_trip(instruction, 0x7f0000000000);
        instruction.target++;
        assert_int_equal(instruction_encode(&instruction, 0x7f0000000000, bytes), PATCH_ERR_RANGE);
        instruction.target = end - (uint64_t)forms[i].reach - 1;
        check_round_trip(instruction, 0x7f0000000000);
        instruction.target--;
        assert_int_equal(instruction_encode(&instruction, 0x7f0000000000, bytes), PATCH_ERR_RANGE);
    }
}

static void values_that_are_no_sign_extended_imm32_are_refused(void **state)
{
    (void)state;
    static const uint64_t fitting[] = {
        0, 1, 0x7fffffff, (uint64_t)INT32_MIN, UINT64_MAX, 0x12345678, (uint64_t)-0x12345678};
    static const uint64_t too_large[] = {
        0x80000000, 0xffffffff, 1ull << 32, 1ull << 63, (uint64_t)INT32_MIN - 1, INT64_MAX};
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    for (size_t i = 0; i < ARRAY_COUNT(fitting); i++) {
        check_round_trip((struct instruction){INSTRUCTION_COMPARE, 7, 0, fitting[i]}, 0x400000);
    }
    for (size_t i = 0; i < ARRAY_COUNT(too_large); i++) {
        struct instruction compare = {INSTRUCTION_COMPARE, 7, 0, too_large[i]};

        assert_int_equal(instruction_encode(&compare, 0x400000, bytes), PATCH_ERR_RANGE);
    }
}

static void unknown_kinds_and_conditions_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];
    struct instruction bad_kind = {.kind = INSTRUCTION_KIND_COUNT, .length = 7};
    struct instruction bad_condition = {.kind = INSTRUCTION_JUMP_IF, .length = 2, .condition = 16};
    struct instruction needless = {.kind = INSTRUCTION_NOP, .length = 2, .condition = 1};
    struct instruction too_long = {.kind = INSTRUCTION_NOP, .length = 8};
    struct instruction decoded;

    assert_int_equal(instruction_encode(&bad_kind, 0, bytes), PATCH_ERR_INSTRUCTION);
    assert_int_equal(instruction_encode(&bad_condition, 0, bytes), PATCH_ERR_INSTRUCTION);
    assert_int_equal(instruction_encode(&needless, 0, bytes), PATCH_ERR_INSTRUCTION);
    assert_int_equal(instruction_encode(&too_long, 0, bytes), PATCH_ERR_LENGTH);
    assert_int_equal(instruction_decode(bytes, 0, 0, &decoded), PATCH_ERR_LENGTH);
    assert_int_equal(instruction_decode(bytes, 8, 0, &decoded), PATCH_ERR_LENGTH);
}

/* Bytes near the known opcodes, at random: what decodes must encode to the same bytes, and be one
 * instruction of that length to Zydis. */
static void decoder_accepts_only_what_it_knows(void **state)
{
    (void)state;
    static const uint8_t first[] = {0x0f, 0x2e, 0x31, 0x66, 0x90, 0xc3, 0xcc, 0xe8, 0xe9,
                                    0xeb, 0x48, 0x81, 0xf8, 0x3b, 0x05, 0xff, 0x15};
    uint64_t random = 88172645463325252;
    unsigned accepted = 0;

    for (unsigned run = 0; run < 400000; run++) {
        uint64_t draw = next_random(&random);
        size_t length = 1 + draw % PATCH_SITE_LENGTH_MAX;
        uint8_t bytes[8], again[PATCH_SITE_LENGTH_MAX];
        struct instruction instruction;

        draw = next_random(&random);
        memcpy(bytes, &draw, sizeof(draw));
        for (unsigned i = 0; i < 7 && run % 2 == 0; i++) { /* half of the draws are close to home */
            bytes[i] = bytes[i] % 4 == 0 ? bytes[i] : first[bytes[i] % ARRAY_COUNT(first)];
        }
        if (instruction_decode(bytes, length, 0x400000, &instruction) != PATCH_OK) {
            continue;
        }
        accepted++;
        assert_int_equal(instruction_encode(&instruction, 0x400000, again), PATCH_OK);
        assert_memory_equal(bytes, again, length);
        expect_same_meaning(&instruction, bytes, 0x400000);
    }
    assert_true(accepted > 1000);
}

static void near_misses_of_every_kind_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t length;
        uint8_t bytes[7];
    } misses[] = {
        {5, {0x0f, 0x1f, 0x44, 0x00, 0x01}},       /* nop with another displacement */
        {3, {0x66, 0x66, 0x90}},                   /* nop in a form that encode does not produce */
        {2, {0x90, 0x90}},                         /* two nops are two instructions */
        {5, {0xeb, 0x00, 0xcc, 0xcc, 0xcc}},       /* jmp rel8 in a longer site */
        {6, {0xe9, 0x00, 0x00, 0x00, 0x00, 0x90}}, /* jmp rel32 and a nop */
        {5, {0xc3, 0xcc, 0xcc, 0xcc, 0x90}},       /* ret, padded with something else */
        {2, {0x31, 0xc0}},                         /* xor eax, eax alone */
        {5, {0x2e, 0x2e, 0x2e, 0x31, 0xc1}},       /* xor ecx, eax */
        {6, {0x0f, 0x90, 0x00, 0x00, 0x00, 0x00}}, /* setcc */
        {5, {0x0f, 0x84, 0x00, 0x00, 0x00}},       /* jcc rel32, cut off */
        {2, {0x6f, 0x00}},                         /* below jcc rel8 */
        {2, {0x80, 0x00}},                         /* above it */
        {7, {0x48, 0x81, 0xfa}},                   /* cmp rdx, imm32 */
        {7, {0x48, 0x81, 0xf0}},                   /* xor rax, imm32 */
        {7, {0x48, 0x83, 0xf8}},                   /* cmp rax, imm8, and three bytes */
        {7, {0x49, 0x81, 0xf8}},                   /* cmp r8, imm32 */
        {6, {0x48, 0x81, 0xf8}},                   /* cmp rax, imm32, cut off */
        {6, {0x48, 0x3d}},                         /* its short form */
        {7, {0x48, 0x3b, 0x04}},                   /* cmp rax, [something else] */
        {7, {0x48, 0x3b, 0x0d}},                   /* cmp rcx, [rip + disp32] */
        {7, {0x48, 0x39, 0x05}},                   /* cmp [rip + disp32], rax */
        {6, {0x48, 0x3b, 0x05}},                   /* cmp rax, [rip + disp32], cut off */
        {5, {0x2e, 0xe8}},                         /* cs call, cut off */
        {7, {0x2e, 0x2e, 0xe8}},                   /* two prefixes */
        {6, {0x2e, 0xe9}},                         /* cs jmp */
        {6, {0x3e, 0xe8}},                         /* another prefix */
        {6, {0x2e, 0x2e, 0x2e, 0x2e, 0x31, 0xc0}}, /* return 0, one prefix more */
        {1, {0x2e}},                               /* a prefix alone */
        {6, {0xff, 0x25}},                         /* jmp [rip + disp32] */
        {6, {0xff, 0x1d}},                         /* far call [rip + disp32] */
        {6, {0xff, 0x35}},                         /* push [rip + disp32] */
        {2, {0xff, 0x15}},                         /* call [rip + disp32], cut off */
        {2, {0xff, 0xd0}},                         /* call rax */
        {7, {0x2e, 0xff, 0x15}},                   /* cs call [rip + disp32] */
        {6, {0xff, 0x14, 0x25}},                   /* call [disp32], cut off */
        {1, {0x48}},                               /* a prefix alone */
        {1, {0xcc}},                               /* int3 */
        {1, {0xf4}},                               /* hlt */
    };
    struct instruction instruction;

    for (size_t i = 0; i < ARRAY_COUNT(misses); i++) {
        assert_int_equal(
            instruction_decode(misses[i].bytes, misses[i].length, 0x400000, &instruction),
            PATCH_ERR_INSTRUCTION);
    }
}

static void gaps_are_filled_with_the_fewest_nops(void **state)
{
    (void)state;
    for (size_t gap = 0; gap <= 40; gap++) {
        uint8_t bytes[41];
        size_t at = 0, nops = 0;

        memset(bytes, 0xcc, sizeof(bytes));
        instruction_fill_nops(bytes, gap);
        while (at < gap) {
            size_t length = zydis_decode(bytes + at, gap - at);

            assert_int_equal(length, gap - at < 9 ? gap - at : 9); /* the longest first */
            assert_int_equal(zydis_instruction.mnemonic, ZYDIS_MNEMONIC_NOP);
            at += length;
            nops++;
        }
        assert_int_equal(nops, (gap + 8) / 9);
        assert_int_equal(bytes[gap], 0xcc);
    }
}

static void text_is_what_an_assembler_would_write(void **state)
{
    (void)state;
    static const struct {
        struct instruction instruction;
        const char *text;
    } cases[] = {
        {{INSTRUCTION_NOP, 1, 0, 0}, "nop"},
        {{INSTRUCTION_NOP, 5, 0, 0}, "nop5"},
        {{INSTRUCTION_JUMP, 5, 0, 0xffffffff80101234}, "jmp 0xffffffff80101234"},
        {{INSTRUCTION_JUMP, 2, 0, 0}, "jmp 0x0"},
        {{INSTRUCTION_JUMP_IF, 6, 5, 0xffffffff80101234}, "jne 0xffffffff80101234"},
        {{INSTRUCTION_JUMP_IF, 2, 13, 0x400}, "jge 0x400"},
        {{INSTRUCTION_CALL, 5, 0, 0x10}, "call 0x10"},
        {{INSTRUCTION_RETURN, 5, 0, 0}, "ret"},
        {{INSTRUCTION_RETURN_ZERO, 5, 0, 0}, "xor eax, eax"},
        {{INSTRUCTION_COMPARE, 7, 0, 0xffffffff80101234}, "cmp rax, 0xffffffff80101234"},
        {{INSTRUCTION_COMPARE, 7, 0, 0}, "cmp rax, 0x0"},
        {{INSTRUCTION_COMPARE_MEMORY, 7, 0, 0xffffffff80101234}, "cmp rax, [0xffffffff80101234]"},
        {{INSTRUCTION_CALL, 6, 0, 0xffffffff80101234}, "call 0xffffffff80101234"},
        {{INSTRUCTION_CALL_MEMORY, 6, 0, 0xffffffff80101234}, "call [0xffffffff80101234]"},
        {{INSTRUCTION_NOP, 7, 0, 0}, "nop7"},
        {{INSTRUCTION_KIND_COUNT, 7, 0, 0}, "?"},
    };
    char buffer[INSTRUCTION_TEXT_SIZE];
    char small[6] = "xxxxx";

    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        assert_string_equal(instruction_text(&cases[i].instruction, buffer, sizeof(buffer)),
                            cases[i].text);
    }
    assert_string_equal(instruction_text(&cases[2].instruction, small, 5), "jmp ");
    assert_string_equal(instruction_text(&cases[2].instruction, small, 1), "");
    small[0] = 'x';
    assert_int_equal(instruction_text(&cases[2].instruction, small, 0)[0], 'x');
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(every_encoding_means_the_same_to_zydis),
    cmocka_unit_test(targets_out_of_reach_are_refused),
    cmocka_unit_test(values_that_are_no_sign_extended_imm32_are_refused),
    cmocka_unit_test(unknown_kinds_and_conditions_are_refused),
    cmocka_unit_test(decoder_accepts_only_what_it_knows),
    cmocka_unit_test(near_misses_of_every_kind_are_refused),
    cmocka_unit_test(gaps_are_filled_with_the_fewest_nops),
    cmocka_unit_test(text_is_what_an_assembler_would_write),
};

HOST_TEST_MAIN(tests, NULL)
