// SPDX-License-Identifier: MIT
/* See oracle.h. Called by: fuzz_instruction.c, model.c, fetch.c. */
#include "tests/fuzz/oracle.h"

#include "tests/fuzz/check.h"

#include <Zydis/Zydis.h>
#include <string.h>

enum { PREFIX_CS = 0x2e, PREFIX_OPERAND_SIZE = 0x66, INT3 = 0xcc };

struct decoded {
    size_t length; /* of the bytes given, not of the instruction alone */
    ZydisDecodedInstruction zydis;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

bool oracle_has_target(enum instruction_kind kind)
{
    return kind == INSTRUCTION_JUMP || kind == INSTRUCTION_JUMP_IF || kind == INSTRUCTION_CALL;
}

bool oracle_has_operand(enum instruction_kind kind)
{
    return oracle_has_target(kind) || kind == INSTRUCTION_COMPARE ||
           kind == INSTRUCTION_COMPARE_MEMORY || kind == INSTRUCTION_CALL_MEMORY;
}

static bool decode(const uint8_t *bytes, size_t length, struct decoded *decoded)
{
    static ZydisDecoder decoder;
    static bool is_ready;

    if (!is_ready) {
        ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
        is_ready = true;
    }
    decoded->length = length;
    return ZYAN_SUCCESS(
        ZydisDecoderDecodeFull(&decoder, bytes, length, &decoded->zydis, decoded->operands));
}

/* True if there are exactly @count prefixes, all of them @prefix. */
static bool prefixes_are(const struct decoded *decoded, size_t count, uint8_t prefix)
{
    for (size_t i = 0; i < decoded->zydis.raw.prefix_count; i++) {
        if (decoded->zydis.raw.prefixes[i].value != prefix) {
            return false;
        }
    }
    return decoded->zydis.raw.prefix_count == count;
}

/* Intel's recommended nops: 90, 66 90, and the multi-byte nop on [rax], [rax + disp8],
 * [rax + rax + disp8] or [rax + disp32] with a displacement of 0; the sixth is the fifth with 66
 * before it. */
static bool is_nop(const struct decoded *decoded)
{
    const ZydisDecodedInstruction *zydis = &decoded->zydis;
    const ZydisDecodedOperandMem *memory = &decoded->operands[0].mem;
    size_t length = decoded->length;
    bool has_index = length == 5 || length == 6;
    ZyanU8 displacement_size = length == 3 ? 0 : length == 7 ? 32 : 8;

    if (zydis->mnemonic != ZYDIS_MNEMONIC_NOP || zydis->length != length) {
        return false;
    }
    if (length <= 2) {
        return zydis->opcode == 0x90 && prefixes_are(decoded, length - 1, PREFIX_OPERAND_SIZE);
    }
    return zydis->opcode_map == ZYDIS_OPCODE_MAP_0F && zydis->opcode == 0x1f &&
           prefixes_are(decoded, length == 6, PREFIX_OPERAND_SIZE) && zydis->raw.modrm.reg == 0 &&
           decoded->operands[0].type == ZYDIS_OPERAND_TYPE_MEMORY &&
           memory->base == ZYDIS_REGISTER_RAX &&
           memory->index == (has_index ? ZYDIS_REGISTER_RAX : ZYDIS_REGISTER_NONE) &&
           memory->scale == has_index && memory->disp.value == 0 &&
           zydis->raw.disp.size == displacement_size;
}

/* ret, the only instruction that may be followed by padding: int3, never executed. */
static bool is_return(const struct decoded *decoded, const uint8_t *bytes)
{
    if (decoded->zydis.mnemonic != ZYDIS_MNEMONIC_RET || decoded->zydis.length != 1 ||
        decoded->zydis.meta.branch_type != ZYDIS_BRANCH_TYPE_NEAR) {
        return false;
    }
    for (size_t i = 1; i < decoded->length; i++) {
        if (bytes[i] != INT3) {
            return false;
        }
    }
    return decoded->length <= PATCH_SITE_LENGTH_MAX;
}

/* xor eax, eax behind three CS prefixes: as long as a call. Opcode 33 says the same, but is not
 * the documented form. */
static bool is_return_zero(const struct decoded *decoded)
{
    return decoded->zydis.mnemonic == ZYDIS_MNEMONIC_XOR && decoded->zydis.opcode == 0x31 &&
           decoded->zydis.length == 5 && decoded->length == 5 &&
           prefixes_are(decoded, 3, PREFIX_CS) &&
           decoded->operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           decoded->operands[0].reg.value == ZYDIS_REGISTER_EAX &&
           decoded->operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           decoded->operands[1].reg.value == ZYDIS_REGISTER_EAX;
}

/* The condition of a jcc in the order of the opcodes, or 16. */
static uint8_t condition_of(ZydisMnemonic mnemonic)
{
    static const ZydisMnemonic conditions[16] = {
        ZYDIS_MNEMONIC_JO, ZYDIS_MNEMONIC_JNO, ZYDIS_MNEMONIC_JB,  ZYDIS_MNEMONIC_JNB,
        ZYDIS_MNEMONIC_JZ, ZYDIS_MNEMONIC_JNZ, ZYDIS_MNEMONIC_JBE, ZYDIS_MNEMONIC_JNBE,
        ZYDIS_MNEMONIC_JS, ZYDIS_MNEMONIC_JNS, ZYDIS_MNEMONIC_JP,  ZYDIS_MNEMONIC_JNP,
        ZYDIS_MNEMONIC_JL, ZYDIS_MNEMONIC_JNL, ZYDIS_MNEMONIC_JLE, ZYDIS_MNEMONIC_JNLE,
    };
    uint8_t condition = 0;

    while (condition < 16 && conditions[condition] != mnemonic) {
        condition++;
    }
    return condition;
}

/* jmp, jcc and call with a relative target and no prefix; or call behind one CS prefix. */
static bool is_relative(const struct decoded *decoded, uint64_t address,
                        struct instruction *instruction)
{
    const ZydisDecodedInstruction *zydis = &decoded->zydis;
    uint8_t condition = condition_of(zydis->mnemonic);
    ZyanU64 target = 0;

    bool is_padded = zydis->mnemonic == ZYDIS_MNEMONIC_CALL && zydis->length == 6;

    if (zydis->length != decoded->length || !prefixes_are(decoded, is_padded, PREFIX_CS) ||
        decoded->operands[0].type != ZYDIS_OPERAND_TYPE_IMMEDIATE ||
        !decoded->operands[0].imm.is_relative) {
        return false;
    }
    if (zydis->mnemonic == ZYDIS_MNEMONIC_JMP) {
        instruction->kind = INSTRUCTION_JUMP;
    } else if (zydis->mnemonic == ZYDIS_MNEMONIC_CALL) {
        instruction->kind = INSTRUCTION_CALL;
    } else if (condition < 16) {
        instruction->kind = INSTRUCTION_JUMP_IF;
        instruction->condition = condition;
    } else {
        return false;
    }
    FUZZ_CHECK(
        ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(zydis, &decoded->operands[0], address, &target)),
        "Zydis knows no target");
    instruction->target = target;
    return true;
}

/* call [rip + disp32] without a prefix: near, through 64 bits. */
static bool is_call_through_memory(const struct decoded *decoded, uint64_t address,
                                   struct instruction *instruction)
{
    const ZydisDecodedInstruction *zydis = &decoded->zydis;
    const ZydisDecodedOperand *word = &decoded->operands[0];
    ZyanU64 target = 0;

    if (zydis->mnemonic != ZYDIS_MNEMONIC_CALL || zydis->length != decoded->length ||
        zydis->raw.prefix_count != 0 || zydis->meta.branch_type != ZYDIS_BRANCH_TYPE_NEAR ||
        word->type != ZYDIS_OPERAND_TYPE_MEMORY || word->mem.base != ZYDIS_REGISTER_RIP) {
        return false;
    }
    FUZZ_CHECK(ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(zydis, word, address, &target)),
               "Zydis knows no address");
    instruction->kind = INSTRUCTION_CALL_MEMORY;
    instruction->target = target;
    return true;
}

/* cmp rax, imm32 or cmp rax, [rip + disp32], in the documented opcodes, seven bytes with one prefix
 * (REX.W). */
static bool is_comparison(const struct decoded *decoded, uint64_t address,
                          struct instruction *instruction)
{
    const ZydisDecodedInstruction *zydis = &decoded->zydis;
    const ZydisDecodedOperand *with = &decoded->operands[1];
    ZyanU64 target = 0;

    if (zydis->mnemonic != ZYDIS_MNEMONIC_CMP || zydis->length != 7 || decoded->length != 7 ||
        zydis->operand_width != 64 || zydis->raw.prefix_count != 1 ||
        decoded->operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
        decoded->operands[0].reg.value != ZYDIS_REGISTER_RAX || zydis->raw.rex.R != 0 ||
        zydis->raw.rex.X != 0 || zydis->raw.rex.B != 0) {
        return false;
    }
    if (zydis->opcode == 0x81 && with->type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        instruction->kind = INSTRUCTION_COMPARE;
        instruction->target = (uint64_t)with->imm.value.s;
        return true;
    }
    if (zydis->opcode != 0x3b || with->type != ZYDIS_OPERAND_TYPE_MEMORY ||
        with->mem.base != ZYDIS_REGISTER_RIP) {
        return false;
    }
    FUZZ_CHECK(ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(zydis, with, address, &target)),
               "Zydis knows no address");
    instruction->kind = INSTRUCTION_COMPARE_MEMORY;
    instruction->target = target;
    return true;
}

bool oracle_decode(const uint8_t *bytes, size_t length, uint64_t address,
                   struct instruction *instruction)
{
    struct decoded decoded;

    if (length == 0 || length > PATCH_SITE_LENGTH_MAX || !decode(bytes, length, &decoded)) {
        return false;
    }
    *instruction = (struct instruction){.length = (uint8_t)length};
    if (is_relative(&decoded, address, instruction) ||
        is_call_through_memory(&decoded, address, instruction) ||
        is_comparison(&decoded, address, instruction)) {
        return true;
    }
    if (is_nop(&decoded)) {
        instruction->kind = INSTRUCTION_NOP;
    } else if (is_return(&decoded, bytes)) {
        instruction->kind = INSTRUCTION_RETURN;
    } else if (is_return_zero(&decoded)) {
        instruction->kind = INSTRUCTION_RETURN_ZERO;
    } else {
        return false;
    }
    return true;
}
