// SPDX-License-Identifier: MIT
/* The instructions that may be patched: names, encoder, decoder, text. Invariant: every encoding is
 * ONE instruction (padding, where there is any, is never executed), so a CPU that stands before or
 * behind a site never stands inside the new one. Used by: poke.c, static_key.c, shell tables.
 * Source: Intel SDM 325383, volume 2, instruction reference; NOP: table "Recommended Multi-Byte
 * Sequence of NOP Instruction". */
#pragma once

#include "patching/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum instruction_opcode {
    INSN_INT3 = 0xcc,
    INSN_JMP8 = 0xeb,
    INSN_JMP32 = 0xe9,
    INSN_CALL32 = 0xe8,
    INSN_RET = 0xc3,
    INSN_JCC8 = 0x70,           /* + condition */
    INSN_TWO_BYTE = 0x0f,       /* escape byte before INSN_JCC32 */
    INSN_JCC32 = 0x80,          /* + condition */
    INSN_PREFIX_CS = 0x2e,      /* ignored in 64-bit mode: pads XOR, CALL */
    INSN_XOR = 0x31,            /* xor r/m32, r32 */
    INSN_MODRM_EAX_EAX = 0xc0,  /* operand byte of xor eax, eax */
    INSN_REX_W = 0x48,          /* prefix: operands of 64 bits */
    INSN_GROUP1_IMM32 = 0x81,   /* cmp and others, r/m, imm32 sign-extended */
    INSN_MODRM_CMP_RDX = 0xfa,  /* operand byte of cmp rdx, imm32 */
    INSN_MODRM_CMP_RAX = 0xf8,  /* the same of cmp rax, imm32, in the long form */
    INSN_CMP_MEMORY = 0x3b,     /* cmp r64, r/m64 */
    INSN_MODRM_RAX_RIP = 0x05,  /* operand byte of rax, [rip + disp32] */
    INSN_GROUP5 = 0xff,         /* call and others, r/m64 */
    INSN_MODRM_CALL_RIP = 0x15, /* operand byte of call [rip + disp32] */
};

/* What the opcode of a conditional jump tells: the last four bits. */
enum instruction_condition {
    INSN_CONDITION_EQUAL = 4,
    INSN_CONDITION_GREATER = 15, /* signed */
};

enum instruction_length {
    INSN_JMP8_LENGTH = 2,
    INSN_JCC8_LENGTH = 2,
    INSN_JMP32_LENGTH = 5,
    INSN_CALL32_LENGTH = 5,
    INSN_RETURN_ZERO_LENGTH = 5,
    INSN_JCC32_LENGTH = 6,
    INSN_CALL32_PADDED_LENGTH = 6, /* a prefix that does nothing, and call */
    INSN_CALL_MEMORY_LENGTH = 6,
    INSN_CMP_RDX_LENGTH = 7,
    INSN_COMPARE_LENGTH = 7, /* both forms */
    INSN_NOP_LENGTH_MAX = 9, /* of the recommended ones */
};

enum instruction_kind {
    INSTRUCTION_NOP,            /* length 1..7 */
    INSTRUCTION_JUMP,           /* length 2 (rel8) or 5 (rel32) */
    INSTRUCTION_JUMP_IF,        /* length 2 (rel8) or 6 (rel32) */
    INSTRUCTION_CALL,           /* length 5, or 6 (cs call: as long as one through memory) */
    INSTRUCTION_RETURN,         /* length 1..7: ret, padded with int3 */
    INSTRUCTION_RETURN_ZERO,    /* length 5: xor eax, eax instead of a call */
    INSTRUCTION_COMPARE,        /* length 7: cmp rax, imm32, sign-extended */
    INSTRUCTION_COMPARE_MEMORY, /* length 7: cmp rax, [rip + disp32] */
    INSTRUCTION_CALL_MEMORY,    /* length 6: call [rip + disp32] */
    INSTRUCTION_KIND_COUNT
};

struct instruction {
    enum instruction_kind kind;
    uint8_t length;    /* bytes, padding included */
    uint8_t condition; /* JUMP_IF: 0..15 as in the opcode (4 = e, 5 = ne, ...); else 0 */
    uint64_t target; /* JUMP, JUMP_IF, CALL: absolute address; COMPARE_MEMORY, CALL_MEMORY: that of
                      * the word they read; COMPARE: the value it compares with; else 0 */
};

/* True for the kinds that may go to their target; it may be any address, 0 too. */
static inline bool instruction_has_target(enum instruction_kind kind)
{
    return kind == INSTRUCTION_JUMP || kind == INSTRUCTION_JUMP_IF || kind == INSTRUCTION_CALL;
}

/* True for the kinds whose target is the address of a word that they read. */
static inline bool instruction_reads_word(enum instruction_kind kind)
{
    return kind == INSTRUCTION_COMPARE_MEMORY || kind == INSTRUCTION_CALL_MEMORY;
}

enum { INSTRUCTION_TEXT_SIZE = 32 };

/* Encodes @instruction, which will stand at @address, into its first @instruction->length @bytes.
 * Context: any.
 * Returns PATCH_ERR_LENGTH if the kind has no form of that length, PATCH_ERR_RANGE if the target is
 * out of reach of that form or the value compared with is not a sign-extended imm32,
 * PATCH_ERR_INSTRUCTION for an unknown kind or condition. */
PATCH_MUST_CHECK enum patch_status instruction_encode(const struct instruction *instruction,
                                                      uint64_t address,
                                                      uint8_t bytes[PATCH_SITE_LENGTH_MAX]);

/* Decodes the one instruction that fills exactly @length @bytes standing at @address.
 * Accepts only what instruction_encode() produces.
 * Context: any, breakpoint handler excepted.
 * Returns PATCH_ERR_LENGTH for a length outside 1..7, else PATCH_ERR_INSTRUCTION. */
PATCH_MUST_CHECK enum patch_status instruction_decode(const uint8_t *bytes, size_t length,
                                                      uint64_t address,
                                                      struct instruction *instruction);

/* Fills the first @length @bytes with nops, as few as there can be, the longest first. They are for
 * gaps that nobody runs through: several nops are no site. Context: any. */
void instruction_fill_nops(uint8_t *bytes, size_t length);

/* Writes assembler text ("jne 0xffffffff80101234", "cmp rax, [0xffffffff80105678]", "nop5"),
 * NUL-terminated, cut at @size.
 * INSTRUCTION_TEXT_SIZE bytes always suffice. Returns @buffer. */
char *instruction_text(const struct instruction *instruction, char *buffer, size_t size);
