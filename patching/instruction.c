// SPDX-License-Identifier: MIT
/* Encoder, decoder and text of the patchable instructions. Invariant: decode accepts exactly what
 * encode produces, byte for byte. Called by: poke.c, static_key.c, shell tables. */
#include "patching/instruction.h"

#include "patching/bytes.h"

#include <stdbool.h>

/* Every length has one nop that is one instruction. */
/* clang-format off */
static const uint8_t insn_nop[INSN_NOP_LENGTH_MAX][INSN_NOP_LENGTH_MAX] = {
    {0x90},                               /* nop */
    {0x66, 0x90},                         /* 66 nop */
    {0x0f, 0x1f, 0x00},                   /* nop dword [rax] */
    {0x0f, 0x1f, 0x40, 0x00},             /* nop dword [rax + disp8] */
    {0x0f, 0x1f, 0x44, 0x00, 0x00},       /* nop dword [rax + rax + disp8] */
    {0x66, 0x0f, 0x1f, 0x44, 0x00, 0x00}, /* 66 nop dword [rax + rax + disp8] */
    {0x0f, 0x1f, 0x80, 0, 0, 0, 0},       /* nop dword [rax + disp32] */
    {0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},    /* nop dword [rax + rax + disp32] */
    {0x66, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
};
/* clang-format on */

static const uint8_t insn_return_zero[INSN_RETURN_ZERO_LENGTH] = {
    INSN_PREFIX_CS, INSN_PREFIX_CS, INSN_PREFIX_CS, INSN_XOR, INSN_MODRM_EAX_EAX,
};

/* The forms with an operand: opcode bytes, then 1 or 4 bytes of displacement or value. */
enum {
    FORM_JMP8,
    FORM_JMP32,
    FORM_JCC8,
    FORM_JCC32,
    FORM_CALL32,
    FORM_CALL32_PADDED,
    FORM_COMPARE,
    FORM_COMPARE_MEMORY,
    FORM_CALL_MEMORY,
    OPERAND_FORMS
};

static const struct operand_form {
    uint8_t kind; /* enum instruction_kind */
    uint8_t length;
    uint8_t opcode_length;
    uint8_t opcode[3]; /* the condition is added to the last one */
} operand_forms[OPERAND_FORMS] = {
    [FORM_JMP8] = {INSTRUCTION_JUMP, INSN_JMP8_LENGTH, 1, {INSN_JMP8}},
    [FORM_JMP32] = {INSTRUCTION_JUMP, INSN_JMP32_LENGTH, 1, {INSN_JMP32}},
    [FORM_JCC8] = {INSTRUCTION_JUMP_IF, INSN_JCC8_LENGTH, 1, {INSN_JCC8}},
    [FORM_JCC32] = {INSTRUCTION_JUMP_IF, INSN_JCC32_LENGTH, 2, {INSN_TWO_BYTE, INSN_JCC32}},
    [FORM_CALL32] = {INSTRUCTION_CALL, INSN_CALL32_LENGTH, 1, {INSN_CALL32}},
    [FORM_CALL32_PADDED] = {INSTRUCTION_CALL,
                            INSN_CALL32_PADDED_LENGTH,
                            2,
                            {INSN_PREFIX_CS, INSN_CALL32}},
    [FORM_COMPARE] = {INSTRUCTION_COMPARE,
                      INSN_COMPARE_LENGTH,
                      3,
                      {INSN_REX_W, INSN_GROUP1_IMM32, INSN_MODRM_CMP_RAX}},
    [FORM_COMPARE_MEMORY] = {INSTRUCTION_COMPARE_MEMORY,
                             INSN_COMPARE_LENGTH,
                             3,
                             {INSN_REX_W, INSN_CMP_MEMORY, INSN_MODRM_RAX_RIP}},
    [FORM_CALL_MEMORY] = {INSTRUCTION_CALL_MEMORY,
                          INSN_CALL_MEMORY_LENGTH,
                          2,
                          {INSN_GROUP5, INSN_MODRM_CALL_RIP}},
};

static const char condition_names[16][3] = {
    "o", "no", "b", "ae", "e", "ne", "be", "a", "s", "ns", "p", "np", "l", "ge", "le", "g",
};

/* What the operand of @form counts from, if the instruction stands at @address. */
static uint64_t operand_base(const struct operand_form *form, uint64_t address)
{
    return form->kind == INSTRUCTION_COMPARE ? 0 : address + form->length;
}

static enum patch_status encode_operand(const struct instruction *instruction, uint64_t address,
                                        const struct operand_form *form, uint8_t *bytes)
{
    int64_t operand = (int64_t)(instruction->target - operand_base(form, address));
    size_t opcode_length = form->opcode_length;
    size_t operand_length = form->length - opcode_length;
    int64_t reach = operand_length == 1 ? INT8_MAX : INT32_MAX;

    if (operand > reach || operand < -reach - 1) {
        return PATCH_ERR_RANGE;
    }
    bytes_copy(bytes, form->opcode, opcode_length);
    bytes[opcode_length - 1] = (uint8_t)(bytes[opcode_length - 1] + instruction->condition);
    bytes_copy(bytes + opcode_length, &operand, operand_length);
    return PATCH_OK;
}

enum patch_status instruction_encode(const struct instruction *instruction, uint64_t address,
                                     uint8_t bytes[PATCH_SITE_LENGTH_MAX])
{
    uint8_t length = instruction->length;
    enum instruction_kind kind = instruction->kind;

    if (kind >= INSTRUCTION_KIND_COUNT ||
        instruction->condition > (kind == INSTRUCTION_JUMP_IF ? 15 : 0)) {
        return PATCH_ERR_INSTRUCTION;
    }
    if (length == 0 || length > PATCH_SITE_LENGTH_MAX) {
        return PATCH_ERR_LENGTH;
    }
    if (kind == INSTRUCTION_NOP) {
        bytes_copy(bytes, insn_nop[length - 1], length);
        return PATCH_OK;
    }
    if (kind == INSTRUCTION_RETURN) {
        for (size_t i = 0; i < length; i++) {
            bytes[i] = i == 0 ? INSN_RET : INSN_INT3;
        }
        return PATCH_OK;
    }
    if (kind == INSTRUCTION_RETURN_ZERO) {
        if (length != INSN_RETURN_ZERO_LENGTH) {
            return PATCH_ERR_LENGTH;
        }
        bytes_copy(bytes, insn_return_zero, length);
        return PATCH_OK;
    }
    for (size_t i = 0; i < OPERAND_FORMS; i++) {
        if (operand_forms[i].kind == kind && operand_forms[i].length == length) {
            return encode_operand(instruction, address, &operand_forms[i], bytes);
        }
    }
    return PATCH_ERR_LENGTH;
}

void instruction_fill_nops(uint8_t *bytes, size_t length)
{
    while (length > 0) {
        size_t nop = length < INSN_NOP_LENGTH_MAX ? length : INSN_NOP_LENGTH_MAX;

        bytes_copy(bytes, insn_nop[nop - 1], nop);
        bytes += nop;
        length -= nop;
    }
}

/* The only form that @bytes may begin, or NULL. The second byte is looked at only where every form
 * with that first one has a second. */
static const struct operand_form *find_form(const uint8_t *bytes, size_t length)
{
    switch (bytes[0]) {
    case INSN_JMP8:
        return &operand_forms[FORM_JMP8];
    case INSN_JMP32:
        return &operand_forms[FORM_JMP32];
    case INSN_CALL32:
        return &operand_forms[FORM_CALL32];
    case INSN_PREFIX_CS: /* return 0 begins with it, too: at another length */
        return &operand_forms[FORM_CALL32_PADDED];
    case INSN_GROUP5:
        return &operand_forms[FORM_CALL_MEMORY];
    case INSN_TWO_BYTE:
        return &operand_forms[FORM_JCC32];
    case INSN_REX_W:
        return length > 1 && bytes[1] == INSN_CMP_MEMORY ? &operand_forms[FORM_COMPARE_MEMORY]
                                                         : &operand_forms[FORM_COMPARE];
    default:
        return (bytes[0] & ~0xf) == INSN_JCC8 ? &operand_forms[FORM_JCC8] : NULL;
    }
}

/* True if @bytes are a form with an operand; then @instruction is filled in. */
static bool decode_operand(const uint8_t *bytes, size_t length, uint64_t address,
                           struct instruction *instruction)
{
    const struct operand_form *form = find_form(bytes, length);

    if (form == NULL || form->length != length) {
        return false;
    }

    size_t opcode_length = form->opcode_length;
    uint8_t condition = (uint8_t)(bytes[opcode_length - 1] - form->opcode[opcode_length - 1]);
    const uint8_t *operand = bytes + opcode_length;

    if (!bytes_equal(bytes, form->opcode, opcode_length - 1) ||
        condition > (form->kind == INSTRUCTION_JUMP_IF ? 15 : 0)) {
        return false;
    }

    bool is_short = length - opcode_length == 1;
    uint32_t wide = is_short ? operand[0] : bytes_load4(operand);

    instruction->kind = (enum instruction_kind)form->kind;
    instruction->condition = condition;
    instruction->target = operand_base(form, address) +
                          (uint64_t)(is_short ? (int64_t)(int8_t)wide : (int64_t)(int32_t)wide);
    return true;
}

static bool is_return(const uint8_t *bytes, size_t length)
{
    if (bytes[0] != INSN_RET) {
        return false;
    }
    for (size_t i = 1; i < length; i++) {
        if (bytes[i] != INSN_INT3) {
            return false;
        }
    }
    return true;
}

enum patch_status instruction_decode(const uint8_t *bytes, size_t length, uint64_t address,
                                     struct instruction *instruction)
{
    if (length == 0 || length > PATCH_SITE_LENGTH_MAX) {
        return PATCH_ERR_LENGTH;
    }
    instruction->length = (uint8_t)length;
    instruction->condition = 0;
    instruction->target = 0;
    if (bytes_equal(bytes, insn_nop[length - 1], length)) {
        instruction->kind = INSTRUCTION_NOP;
        return PATCH_OK;
    }
    if (decode_operand(bytes, length, address, instruction)) {
        return PATCH_OK;
    }
    if (is_return(bytes, length)) {
        instruction->kind = INSTRUCTION_RETURN;
        return PATCH_OK;
    }
    if (length == INSN_RETURN_ZERO_LENGTH && bytes_equal(bytes, insn_return_zero, length)) {
        instruction->kind = INSTRUCTION_RETURN_ZERO;
        return PATCH_OK;
    }
    return PATCH_ERR_INSTRUCTION;
}

/* Where the next character goes; the last byte of the buffer stays free for the NUL. */
struct text_cursor {
    char *at;
    char *last;
};

static void text_append(struct text_cursor *cursor, const char *text)
{
    while (*text != '\0' && cursor->at < cursor->last) {
        *cursor->at++ = *text++;
    }
}

static void text_append_hex(struct text_cursor *cursor, uint64_t value)
{
    char digit[2] = "0";
    int shift = 60;

    while (shift > 0 && (value >> shift) == 0) {
        shift -= 4;
    }
    text_append(cursor, "0x");
    for (; shift >= 0; shift -= 4) {
        digit[0] = "0123456789abcdef"[(value >> shift) & 15];
        text_append(cursor, digit);
    }
}

char *instruction_text(const struct instruction *instruction, char *buffer, size_t size)
{
    static const char *const words[] = {
        [INSTRUCTION_NOP] = "nop",
        [INSTRUCTION_JUMP] = "jmp ",
        [INSTRUCTION_JUMP_IF] = "j",
        [INSTRUCTION_CALL] = "call ",
        [INSTRUCTION_RETURN] = "ret",
        [INSTRUCTION_RETURN_ZERO] = "xor eax, eax",
        [INSTRUCTION_COMPARE] = "cmp rax, ",
        [INSTRUCTION_COMPARE_MEMORY] = "cmp rax, [",
        [INSTRUCTION_CALL_MEMORY] = "call [",
    };
    enum instruction_kind kind = instruction->kind;

    if (size == 0) {
        return buffer;
    }
    struct text_cursor cursor = {.at = buffer, .last = buffer + size - 1};
    text_append(&cursor, kind < INSTRUCTION_KIND_COUNT ? words[kind] : "?");
    if (kind == INSTRUCTION_NOP && instruction->length > 1) {
        text_append(&cursor, (const char[]){(char)('0' + instruction->length), '\0'});
    }
    if (kind == INSTRUCTION_JUMP_IF) {
        text_append(&cursor, condition_names[instruction->condition & 15]);
        text_append(&cursor, " ");
    }
    if (instruction_has_target(kind) || kind == INSTRUCTION_COMPARE ||
        instruction_reads_word(kind)) {
        text_append_hex(&cursor, instruction->target);
    }
    if (instruction_reads_word(kind)) {
        text_append(&cursor, "]");
    }
    *cursor.at = '\0';
    return buffer;
}
