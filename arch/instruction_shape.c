// SPDX-License-Identifier: MIT
/* See instruction_shape.h. Invariant: every byte is read through byte_take(), which counts it and
 * stops at the end of what can be read. */
#include "arch/instruction_shape.h"

#include <stddef.h>

#define REX_W          0x08
#define MODRM_REGISTER 3 /* mod: no memory operand */
#define RM_SIB         4
#define RM_DISPLACED   5 /* with mod 0: 32 bits of displacement instead of a register */

enum {
    OPERAND_IMMEDIATE8 = 1 << 0,
    OPERAND_IMMEDIATE = 1 << 1, /* 4 bytes, or 2 */
    OPERAND_MODRM = 1 << 2,
    OPERAND_KNOWN = 1 << 3, /* alone: an instruction without operands */
};

struct reader {
    const uint8_t *bytes;
    unsigned size, taken;
    bool is_cut; /* more bytes were wanted than there are */
    bool is_narrow;
    uint8_t rex;
};

static uint8_t byte_take(struct reader *reader)
{
    if (reader->taken >= reader->size) {
        reader->is_cut = true;
        return 0;
    }
    return reader->bytes[reader->taken++];
}

static void bytes_skip(struct reader *reader, unsigned count)
{
    while (count-- > 0) {
        byte_take(reader);
    }
}

static int32_t displacement_take(struct reader *reader, unsigned size)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < size; i++) {
        value |= (uint32_t)byte_take(reader) << (8 * i);
    }
    return size == 1 ? (int8_t)value : (int32_t)value;
}

/* Takes the prefixes. Returns the opcode behind them. */
static uint8_t prefixes_take(struct reader *reader)
{
    for (;;) {
        uint8_t byte = byte_take(reader);

        switch (byte) {
        case 0x66:
            reader->is_narrow = true;
            break;
        case 0xf2: /* rep, or part of the opcode; then segments; last lock */
        case 0xf3:
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
        case 0x64:
        case 0x65:
        case 0xf0:
            break;
        default:
            if ((byte & 0xf0) == 0x40) {
                reader->rex = byte;
                return byte_take(reader);
            }
            return byte;
        }
    }
}

/* Takes ModRM, SIB and displacement. Returns ModRM. */
static uint8_t modrm_take(struct reader *reader)
{
    uint8_t modrm = byte_take(reader);
    unsigned mod = modrm >> 6;
    unsigned base = modrm & 7;

    if (mod == MODRM_REGISTER) {
        return modrm;
    }
    if (base == RM_SIB) {
        base = byte_take(reader) & 7;
    }
    if (mod == 1) {
        bytes_skip(reader, 1);
    } else if (mod == 2 || base == RM_DISPLACED) {
        bytes_skip(reader, 4);
    }
    return modrm;
}

static unsigned modrm_register(uint8_t modrm)
{
    return modrm >> 3 & 7;
}

static unsigned immediate_length(const struct reader *reader)
{
    return reader->is_narrow && !(reader->rex & REX_W) ? 2 : 4;
}

/* What follows opcodes without branches, of one byte; 0 if that is not known. */
static unsigned operands_of(uint8_t opcode)
{
    if (opcode < 0x40) { /* add or adc sbb and sub xor cmp, in six forms */
        static const uint8_t forms[8] = {OPERAND_MODRM,
                                         OPERAND_MODRM,
                                         OPERAND_MODRM,
                                         OPERAND_MODRM,
                                         OPERAND_IMMEDIATE8,
                                         OPERAND_IMMEDIATE,
                                         0,
                                         0};
        return forms[opcode & 7];
    }
    switch (opcode) {
    case 0x50 ... 0x5f: /* push, pop */
    case 0x90 ... 0x99: /* xchg, nop, pause, sign extensions */
    case 0x9c:          /* pushf */
    case 0xc9:          /* leave */
    case 0xfa:          /* cli cld std */
    case 0xfc:
    case 0xfd:
        return OPERAND_KNOWN;
    case 0x63:          /* movsxd */
    case 0x84 ... 0x8b: /* test, xchg, mov */
    case 0x8d:          /* lea */
    case 0xd0 ... 0xd3: /* shifts */
        return OPERAND_MODRM;
    case 0x6b:
    case 0x80:
    case 0x83:
    case 0xc0:
    case 0xc1:
        return OPERAND_MODRM | OPERAND_IMMEDIATE8;
    case 0x69:
    case 0x81:
        return OPERAND_MODRM | OPERAND_IMMEDIATE;
    case 0x6a:
    case 0xa8:
    case 0xb0 ... 0xb7:
        return OPERAND_IMMEDIATE8;
    case 0x68:
    case 0xa9:
        return OPERAND_IMMEDIATE;
    default:
        return 0;
    }
}

/* The same for opcodes of two bytes, behind 0x0f. */
static unsigned operands_of_two_byte(uint8_t opcode)
{
    switch (opcode) {
    case 0x30 ... 0x32: /* wrmsr rdtsc rdmsr */
    case 0xa2:          /* cpuid */
    case 0xc8 ... 0xcf: /* bswap */
        return OPERAND_KNOWN;
    case 0x1f:          /* nop */
    case 0x40 ... 0x4f: /* cmov */
    case 0x90 ... 0x9f: /* set */
    case 0xa3:          /* bt bts */
    case 0xab:
    case 0xa5: /* shld shrd */
    case 0xad:
    case 0xaf: /* imul */
    case 0xb0: /* cmpxchg */
    case 0xb1:
    case 0xb3: /* btr */
    case 0xb6: /* movzx */
    case 0xb7:
    case 0xbb ... 0xbf: /* btc bsf bsr movsx */
    case 0xc0:          /* xadd */
    case 0xc1:
        return OPERAND_MODRM;
    case 0xa4:
    case 0xac:
    case 0xba: /* bt and its like */
        return OPERAND_MODRM | OPERAND_IMMEDIATE8;
    default:
        return 0;
    }
}

static bool operands_take(struct reader *reader, unsigned operands)
{
    if (operands & OPERAND_MODRM) {
        modrm_take(reader);
    }
    if (operands & OPERAND_IMMEDIATE8) {
        bytes_skip(reader, 1);
    }
    if (operands & OPERAND_IMMEDIATE) {
        bytes_skip(reader, immediate_length(reader));
    }
    return operands != 0;
}

/* Opcodes whose meaning hangs on the register field of ModRM. */
static bool group_take(struct reader *reader, uint8_t opcode, struct instruction_shape *shape)
{
    unsigned operation = modrm_register(modrm_take(reader));
    bool is_byte = !(opcode & 1);

    switch (opcode) {
    case 0x8f: /* pop */
        return operation == 0;
    case 0xc6: /* mov */
    case 0xc7:
        bytes_skip(reader, is_byte ? 1 : immediate_length(reader));
        return operation == 0;
    case 0xf6: /* test, not, neg, mul, div */
    case 0xf7:
        if (operation == 0) {
            bytes_skip(reader, is_byte ? 1 : immediate_length(reader));
        }
        return operation != 1;
    case 0xfe: /* inc, dec */
        return operation <= 1;
    default: /* 0xff: inc, dec, call, jmp, push */
        if (operation == 2 || operation == 4) {
            shape->flow = INSTRUCTION_FLOW_COMPUTED;
            return !reader->is_narrow;
        }
        return operation <= 1 || operation == 6;
    }
}

static bool direct_take(struct reader *reader, unsigned size, struct instruction_shape *shape)
{
    shape->flow = INSTRUCTION_FLOW_DIRECT;
    shape->displacement = displacement_take(reader, size);
    return !reader->is_narrow; /* processors disagree about what the prefix does */
}

static bool two_byte_take(struct reader *reader, struct instruction_shape *shape)
{
    uint8_t opcode = byte_take(reader);

    switch (opcode) {
    case 0x80 ... 0x8f: /* jcc */
        return direct_take(reader, 4, shape);
    case 0x01: { /* of its many: rdtscp, invlpg */
        uint8_t modrm = modrm_take(reader);
        return modrm == 0xf9 || (modrm >> 6 != MODRM_REGISTER && modrm_register(modrm) == 7);
    }
    case 0xae: { /* of its many: lfence mfence sfence */
        uint8_t modrm = byte_take(reader);
        return modrm == 0xe8 || modrm == 0xf0 || modrm == 0xf8;
    }
    default:
        return operands_take(reader, operands_of_two_byte(opcode));
    }
}

static bool opcode_take(struct reader *reader, uint8_t opcode, struct instruction_shape *shape)
{
    switch (opcode) {
    case 0x0f:
        return two_byte_take(reader, shape);
    case 0x70 ... 0x7f: /* jcc */
    case 0xeb:          /* jmp */
        return direct_take(reader, 1, shape);
    case 0xe8: /* call */
    case 0xe9: /* jmp */
        return direct_take(reader, 4, shape);
    case 0xc3: /* ret */
        shape->flow = INSTRUCTION_FLOW_COMPUTED;
        return !reader->is_narrow;
    case 0xb8 ... 0xbf: /* mov: the only immediate of 8 bytes */
        bytes_skip(reader, reader->rex & REX_W ? 8 : immediate_length(reader));
        return true;
    case 0xfb: /* sti */
        shape->holds_off_traps = true;
        return true;
    case 0x8f:
    case 0xc6:
    case 0xc7:
    case 0xf6:
    case 0xf7:
    case 0xfe:
    case 0xff:
        return group_take(reader, opcode, shape);
    default:
        return operands_take(reader, operands_of(opcode));
    }
}

bool instruction_shape(const uint8_t *bytes, unsigned size, struct instruction_shape *shape)
{
    struct reader reader = {.bytes = bytes,
                            .size = size < INSTRUCTION_SHAPE_LONGEST ? size
                                                                     : INSTRUCTION_SHAPE_LONGEST};

    *shape = (struct instruction_shape){.flow = INSTRUCTION_FLOW_ON};

    bool is_known = opcode_take(&reader, prefixes_take(&reader), shape);

    shape->length = (uint8_t)reader.taken;
    return is_known && !reader.is_cut;
}
