// SPDX-License-Identifier: MIT
/* Decoder of image_text.h. Invariant: reads no byte behind the size it was given. */
#include "patching/image_text.h"

#include "patching/bytes.h"
#include "patching/instruction.h"

enum {
    NOP_BYTE = 0x90,
    NOP_LONG = 0x1f, /* behind INSN_TWO_BYTE */
    PREFIX_WIDTH = 0x66,
};

static const char *const names[] = {
    [IMAGE_COMPARE] = "cmp", [IMAGE_JUMP_IF_EQUAL] = "je", [IMAGE_JUMP_IF_GREATER] = "jg",
    [IMAGE_JUMP] = "jmp",    [IMAGE_NOP] = "nop",          [IMAGE_INT3] = "int3",
};

const char *image_instruction_name(enum image_instruction_kind kind)
{
    return (unsigned)kind < sizeof(names) / sizeof(names[0]) ? names[kind] : "?";
}

bool image_instruction_is_jump(enum image_instruction_kind kind)
{
    return kind == IMAGE_JUMP_IF_EQUAL || kind == IMAGE_JUMP_IF_GREATER || kind == IMAGE_JUMP;
}

/* Each form: opcode bytes, then a signed number of 1 or 4 bytes: of a jump the way from its end. */
static const struct form {
    enum image_instruction_kind kind;
    uint8_t opcode_length, number_length;
    uint8_t opcode[3];
} forms[] = {
    {IMAGE_COMPARE, 3, 4, {INSN_REX_W, INSN_GROUP1_IMM32, INSN_MODRM_CMP_RDX}},
    {IMAGE_JUMP, 1, 1, {INSN_JMP8}},
    {IMAGE_JUMP, 1, 4, {INSN_JMP32}},
    {IMAGE_JUMP_IF_EQUAL, 1, 1, {INSN_JCC8 + INSN_CONDITION_EQUAL}},
    {IMAGE_JUMP_IF_EQUAL, 2, 4, {INSN_TWO_BYTE, INSN_JCC32 + INSN_CONDITION_EQUAL}},
    {IMAGE_JUMP_IF_GREATER, 1, 1, {INSN_JCC8 + INSN_CONDITION_GREATER}},
    {IMAGE_JUMP_IF_GREATER, 2, 4, {INSN_TWO_BYTE, INSN_JCC32 + INSN_CONDITION_GREATER}},
};

static bool form_decode(const struct form *form, const uint8_t *bytes, size_t size,
                        uint64_t address, struct image_instruction *instruction)
{
    uint8_t length = form->opcode_length + form->number_length;
    int32_t number = 0;

    if (size < length || !bytes_equal(bytes, form->opcode, form->opcode_length)) {
        return false;
    }
    bytes_copy(&number, bytes + form->opcode_length, form->number_length);
    if (form->number_length == 1) {
        number = (int8_t)number;
    }
    *instruction = (struct image_instruction){
        .kind = form->kind,
        .length = length,
        .operand = (uint64_t)(int64_t)number,
    };
    if (form->kind != IMAGE_COMPARE) {
        instruction->operand += address + length;
    }
    return true;
}

/* The operand bytes of the long nops: none of them names anything but rax and displacements of 0,
 * so the length follows from the first. Returns 0 for any other. */
static uint8_t nop_operand_length(const uint8_t *bytes, size_t size)
{
    static const uint8_t operands[][6] = {
        {0x00}, {0x40}, {0x44}, {0x80}, {0x84},
    };
    static const uint8_t lengths[] = {1, 2, 3, 5, 6};

    for (size_t i = 0; i < sizeof(lengths); i++) {
        if (size >= lengths[i] && bytes_equal(bytes, operands[i], lengths[i])) {
            return lengths[i];
        }
    }
    return 0;
}

/* nop, nop with an operand, each with prefixes that change nothing. Returns its length, 0: none. */
static uint8_t nop_length(const uint8_t *bytes, size_t size)
{
    uint8_t length = 0;

    while (length < size && length < 3 && bytes[length] == PREFIX_WIDTH) {
        length++;
    }
    if (length < size && bytes[length] == NOP_BYTE) {
        return length + 1;
    }
    if (size < (size_t)length + 2 || bytes[length] != INSN_TWO_BYTE ||
        bytes[length + 1] != NOP_LONG) {
        return 0;
    }
    uint8_t operand = nop_operand_length(bytes + length + 2, size - length - 2);

    return operand != 0 ? length + 2 + operand : 0;
}

bool image_instruction_decode(const uint8_t *bytes, size_t size, uint64_t address,
                              struct image_instruction *instruction)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (form_decode(&forms[i], bytes, size, address, instruction)) {
            return true;
        }
    }
    *instruction = (struct image_instruction){.kind = IMAGE_NOP};
    instruction->length = nop_length(bytes, size);
    if (instruction->length == 0 && size > 0 && bytes[0] == INSN_INT3) {
        *instruction = (struct image_instruction){.kind = IMAGE_INT3, .length = 1};
    }
    return instruction->length != 0;
}
