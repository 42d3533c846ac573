// SPDX-License-Identifier: MIT
/* Generator of the code of programs; see program_code.h. Invariant: every jump goes forward to the
 * one place behind which the program returns NET_ACTION_PASS. Instructions: AMD64 Architecture
 * Programmer's Manual, volume 3, "General-Purpose Instruction Reference". Called by:
 * program_generate.c. */
#include "net/program_code.h"

#include "net/net_device.h"
#include "net/program.h"

/* Opcodes; each takes a ModRM byte but for the last ones. */
enum {
    OP_REX_W = 0x48,
    OP_TWO_BYTES = 0x0f, /* in front of the next two */
    OP_MOVZX8 = 0xb6,
    OP_MOVZX16 = 0xb7,
    OP_MOV_LOAD = 0x8b,
    OP_ADD_STORE = 0x01,   /* r/m += reg */
    OP_CMP_LOAD = 0x3b,    /* reg with r/m */
    OP_GROUP_IMM32 = 0x81, /* reg field: which */
    OP_GROUP_IMM8 = 0x83,
    OP_SHIFT_IMM8 = 0xc1,
    OP_TEST_IMM32 = 0xf7,
    OP_INC = 0xff,
    OP_MOV_EAX_IMM32 = 0xb8, /* without ModRM, as these: */
    OP_JCC_SHORT = 0x70,     /* plus condition */
    OP_RET = 0xc3,
};
enum { GROUP_ADD = 0, GROUP_AND = 4, GROUP_CMP = 7, SHIFT_LEFT = 4, TEST = 0, INC = 0 };
enum { BELOW = 2, NOT_EQUAL = 5, ABOVE = 7 };
enum reg { EAX, ECX, EDX, RSI = 6, RDI };
enum { RM_SIB = 4 }; /* a SIB byte follows */
enum { MOD_MEMORY, MOD_DISP8, MOD_DISP32, MOD_REGISTER };

/* Offsets in a frame. */
enum {
    AT_TYPE = 12,
    AT_HEADER_LENGTH = 14,
    AT_FRAGMENT = 20,
    AT_PROTOCOL = 23,
    PORT_END = 14 + 4, /* plus the header's length: end of the destination port */
    LEAST_BYTES = 14 + 20 + 4,
};
/* Words of a frame as a load sees them. */
enum { TYPE_IPV4 = 0x0008, FRAGMENT_OFFSET = 0xff1f, PROTOCOL_UDP = 17 };
enum { HEADER_WORDS_LEAST = 5, HEADER_WORDS_MASK = 15, JUMPS_MAX = 8 };
enum { SHIFT_DEVICE = 4, SHIFT_SLOT = 6 };

_Static_assert(NET_QUEUE_MAX == 1 << SHIFT_DEVICE, "slots of a device");
_Static_assert(sizeof(struct net_program_slot) == 1 << SHIFT_SLOT, "a slot");
_Static_assert(offsetof(struct net_program_slot, runs) == 0, "first in its slot");
_Static_assert(offsetof(struct packet, device) < 128, "a displacement of 8 bits");
_Static_assert(sizeof(((struct packet *)0)->queue) == 2 &&
                   sizeof(((struct packet *)0)->length) == 4 &&
                   sizeof(((struct net_device *)0)->index) == 4,
               "as they are loaded");

struct code {
    uint8_t *bytes;
    size_t length;
    size_t jumps[JUMPS_MAX]; /* where the displacements of jumps to `pass` stand */
    unsigned jump_count;
};

static void put(struct code *code, unsigned byte)
{
    code->bytes[code->length++] = (uint8_t)byte;
}

static void put32(struct code *code, uint32_t value)
{
    for (unsigned i = 0; i < sizeof(value); i++) {
        put(code, value >> 8 * i & 0xff);
    }
}

static void put_modrm(struct code *code, unsigned mod, unsigned reg, unsigned rm)
{
    put(code, mod << 6 | reg << 3 | rm);
}

/* Operand [@base + @offset]. */
static void put_memory(struct code *code, unsigned reg, enum reg base, size_t offset)
{
    if (offset < 128) {
        put_modrm(code, MOD_DISP8, reg, base);
        put(code, (unsigned)offset);
    } else {
        put_modrm(code, MOD_DISP32, reg, base);
        put32(code, (uint32_t)offset);
    }
}

static void put_load64(struct code *code, enum reg to, enum reg base, size_t offset)
{
    put(code, OP_REX_W);
    put(code, OP_MOV_LOAD);
    put_memory(code, to, base, offset);
}

static void put_load32(struct code *code, enum reg to, enum reg base, size_t offset)
{
    put(code, OP_MOV_LOAD);
    put_memory(code, to, base, offset);
}

static void put_load16(struct code *code, enum reg to, enum reg base, size_t offset)
{
    put(code, OP_TWO_BYTES);
    put(code, OP_MOVZX16);
    put_memory(code, to, base, offset);
}

static void put_load8(struct code *code, enum reg to, enum reg base, size_t offset)
{
    put(code, OP_TWO_BYTES);
    put(code, OP_MOVZX8);
    put_memory(code, to, base, offset);
}

/* shl @reg, @count */
static void put_shift(struct code *code, enum reg reg, unsigned count)
{
    put(code, OP_SHIFT_IMM8);
    put_modrm(code, MOD_REGISTER, SHIFT_LEFT, reg);
    put(code, count);
}

/* add, and, cmp @reg, @value */
static void put_group8(struct code *code, unsigned group, enum reg reg, unsigned value)
{
    put(code, OP_GROUP_IMM8);
    put_modrm(code, MOD_REGISTER, group, reg);
    put(code, value);
}

static void put_compare32(struct code *code, enum reg reg, uint32_t value)
{
    put(code, OP_GROUP_IMM32);
    put_modrm(code, MOD_REGISTER, GROUP_CMP, reg);
    put32(code, value);
}

static void put_pass_if(struct code *code, unsigned condition)
{
    put(code, OP_JCC_SHORT + condition);
    code->jumps[code->jump_count++] = code->length;
    put(code, 0);
}

static void put_return(struct code *code, unsigned action)
{
    put(code, OP_MOV_EAX_IMM32);
    put32(code, action);
    put(code, OP_RET);
}

/* data->slots[packet->device->index * NET_QUEUE_MAX + packet->queue].runs++ */
static void put_count(struct code *code)
{
    put_load64(code, EAX, RDI, offsetof(struct packet, device));
    put_load32(code, EAX, EAX, offsetof(struct net_device, index));
    put_load16(code, ECX, RDI, offsetof(struct packet, queue));
    put_shift(code, EAX, SHIFT_DEVICE);
    put(code, OP_ADD_STORE);
    put_modrm(code, MOD_REGISTER, ECX, EAX);
    put_shift(code, EAX, SHIFT_SLOT);
    put(code, OP_REX_W); /* inc qword [rsi + rax] */
    put(code, OP_INC);
    put_modrm(code, MOD_MEMORY, INC, RM_SIB);
    put_modrm(code, 0, EAX, RSI);
}

/* Passes what is no UDP over IPv4; rcx: the frame. */
static void put_checks(struct code *code)
{
    put_load64(code, ECX, RDI, offsetof(struct packet, data));
    put_load32(code, EAX, RDI, offsetof(struct packet, length));
    put_group8(code, GROUP_CMP, EAX, LEAST_BYTES);
    put_pass_if(code, BELOW);
    put_load16(code, EAX, ECX, AT_TYPE);
    put_group8(code, GROUP_CMP, EAX, TYPE_IPV4);
    put_pass_if(code, NOT_EQUAL);
    put_load8(code, EAX, ECX, AT_PROTOCOL);
    put_group8(code, GROUP_CMP, EAX, PROTOCOL_UDP);
    put_pass_if(code, NOT_EQUAL);
    put_load16(code, EAX, ECX, AT_FRAGMENT);
    put(code, OP_TEST_IMM32);
    put_modrm(code, MOD_REGISTER, TEST, EAX);
    put32(code, FRAGMENT_OFFSET);
    put_pass_if(code, NOT_EQUAL);
}

/* Passes if the destination port is not @port, or not inside the frame. */
static void put_port(struct code *code, uint16_t port)
{
    put_load8(code, EDX, ECX, AT_HEADER_LENGTH);
    put_group8(code, GROUP_AND, EDX, HEADER_WORDS_MASK);
    put_group8(code, GROUP_CMP, EDX, HEADER_WORDS_LEAST);
    put_pass_if(code, BELOW);
    put_shift(code, EDX, 2); /* words to bytes */
    put_group8(code, GROUP_ADD, EDX, PORT_END);
    put(code, OP_CMP_LOAD);
    put_memory(code, EDX, RDI, offsetof(struct packet, length));
    put_pass_if(code, ABOVE);
    put(code, OP_TWO_BYTES); /* movzx eax, word [rcx + rdx - 2] */
    put(code, OP_MOVZX16);
    put_modrm(code, MOD_DISP8, EAX, RM_SIB);
    put_modrm(code, 0, EDX, ECX);
    put(code, (unsigned)-2 & 0xff);
    put_compare32(code, EAX, (uint16_t)(port << 8 | port >> 8));
    put_pass_if(code, NOT_EQUAL);
}

size_t program_code_generate(uint32_t number, uint8_t bytes[PROGRAM_CODE_BYTES])
{
    struct code code = {.bytes = bytes};

    put_count(&code);
    put_checks(&code);
    put_port(&code, (uint16_t)(PROGRAM_CODE_FIRST_PORT + number));
    put_return(&code, NET_ACTION_DROP);
    for (unsigned i = 0; i < code.jump_count; i++) {
        bytes[code.jumps[i]] = (uint8_t)(code.length - code.jumps[i] - 1);
    }
    put_return(&code, NET_ACTION_PASS);
    return code.length;
}
