// SPDX-License-Identifier: MIT
/* Tests of arch/instruction_shape.c against Zydis, an independent decoder. What is accepted must
 * have Zydis's length, flow and target, over every opcode, operand byte and prefix in turn and over
 * random bytes; bytes that Zydis calls no instruction prove nothing and are left out: they are
 * never executed. So that refusing everything does not pass, the instructions of compiled functions
 * must all be accepted. */
#include "tests/host/host_test.h"

#include <Zydis/Zydis.h>
#include <string.h>

#include "arch/instruction_shape.h"

#define RANDOM_ROUNDS 1000000

static ZydisDecoder decoder;
static unsigned long accepted;

static bool decode(const uint8_t *bytes, unsigned size, ZydisDecodedInstruction *instruction,
                   ZydisDecodedOperand *operands)
{
    return ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes, size, instruction, operands));
}

static enum instruction_flow flow_of(const ZydisDecodedInstruction *instruction,
                                     const ZydisDecodedOperand *operand)
{
    switch (instruction->meta.category) {
    case ZYDIS_CATEGORY_CALL:
    case ZYDIS_CATEGORY_UNCOND_BR:
    case ZYDIS_CATEGORY_COND_BR:
        return operand->type == ZYDIS_OPERAND_TYPE_IMMEDIATE ? INSTRUCTION_FLOW_DIRECT
                                                             : INSTRUCTION_FLOW_COMPUTED;
    case ZYDIS_CATEGORY_RET:
        return INSTRUCTION_FLOW_COMPUTED;
    default:
        return INSTRUCTION_FLOW_ON;
    }
}

static void print_bytes(const uint8_t *bytes, unsigned size)
{
    for (unsigned i = 0; i < size; i++) {
        print_error("%02x ", bytes[i]);
    }
    print_error("\n");
}

/* What is accepted is what Zydis says. */
static void compare(const uint8_t *bytes, unsigned size)
{
    struct instruction_shape shape;
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    if (!instruction_shape(bytes, size, &shape) || !decode(bytes, size, &instruction, operands)) {
        return;
    }
    enum instruction_flow flow = flow_of(&instruction, &operands[0]);
    bool equal = shape.length == instruction.length && shape.flow == flow &&
                 (flow != INSTRUCTION_FLOW_DIRECT || shape.displacement == operands[0].imm.value.s);

    if (!equal) {
        print_bytes(bytes, size);
        fail_msg("length %u, flow %d; Zydis: %u, %d", shape.length, shape.flow, instruction.length,
                 flow);
    }
    accepted++;
}

/* @opcode: 0x100 and more: behind 0x0f. */
static void compare_operands(const uint8_t *prefixes, unsigned opcode)
{
    static const uint8_t scaled[] = {0x00, 0x04, 0x05, 0x24, 0x25, 0xff}; /* SIB, or what follows */
    uint8_t bytes[INSTRUCTION_SHAPE_LONGEST];
    unsigned length = 0;

    memset(bytes, 0x11, sizeof(bytes));
    while (prefixes[length] != 0) {
        bytes[length] = prefixes[length];
        length++;
    }
    if (opcode >= 0x100) {
        bytes[length++] = 0x0f;
    }
    bytes[length++] = (uint8_t)opcode;
    for (unsigned modrm = 0; modrm < 0x100; modrm++) {
        for (unsigned i = 0; i < ARRAY_COUNT(scaled); i++) {
            bytes[length] = (uint8_t)modrm;
            bytes[length + 1] = scaled[i];
            compare(bytes, sizeof(bytes));
        }
    }
}

static void accepted_opcodes_have_zydis_shape(void **state)
{
    static const uint8_t prefixes[][3] = {{0},    {0x66}, {0x48}, {0x66, 0x48}, {0xf3},
                                          {0xf2}, {0xf0}, {0x65}, {0x41},       {0xf3, 0x48}};

    (void)state;
    accepted = 0;
    for (unsigned prefix = 0; prefix < ARRAY_COUNT(prefixes); prefix++) {
        for (unsigned opcode = 0; opcode < 0x200; opcode++) {
            compare_operands(prefixes[prefix], opcode);
        }
    }
    assert_true(accepted > 1000000);
}

static void accepted_random_bytes_have_zydis_shape(void **state)
{
    uint8_t bytes[INSTRUCTION_SHAPE_LONGEST];
    uint64_t seed = 1;

    (void)state;
    accepted = 0;
    for (unsigned round = 0; round < RANDOM_ROUNDS; round++) {
        for (unsigned i = 0; i < sizeof(bytes); i++) {
            bytes[i] = (uint8_t)(next_random(&seed) >> 32);
        }
        compare(bytes, 1 + (unsigned)(next_random(&seed) >> 32) % sizeof(bytes));
    }
    assert_true(accepted > RANDOM_ROUNDS / 10);
}

/* Each of them with every byte that is missing at its end. */
static void what_is_cut_off_is_refused(void **state)
{
    static const uint8_t known[][11] = {
        {0xe8, 1, 2, 3, 4},                         /* call */
        {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8},       /* mov rax, imm64 */
        {0x0f, 0x84, 1, 2, 3, 4},                   /* je */
        {0x66, 0xc7, 0x44, 0x24, 8, 1, 2},          /* mov word [rsp + 8], imm16 */
        {0xf3, 0x90},                               /* pause */
        {0x65, 0x48, 0x8b, 0x04, 0x25, 0, 0, 0, 1}, /* mov rax, [gs:...] */
        {0x0f, 0xae, 0xe8},                         /* lfence */
        {0xff, 0xe0},                               /* jmp rax */
        {0x41, 0xff, 0xd3},                         /* call r11 */
        {0xc3},                                     /* ret */
    };
    static const unsigned lengths[] = {5, 10, 6, 7, 2, 9, 3, 2, 3, 1};
    struct instruction_shape shape;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(lengths); i++) {
        assert_true(instruction_shape(known[i], lengths[i], &shape));
        assert_int_equal(shape.length, lengths[i]);
        for (unsigned size = 0; size < lengths[i]; size++) {
            assert_false(instruction_shape(known[i], size, &shape));
        }
    }
}

/* What paravirt ops are made of, filled to six bytes; sti alone holds off traps. */
static void instructions_of_paravirt_ops_are_known(void **state)
{
    static const struct {
        uint8_t bytes[8];
        unsigned length;
    } known[] = {
        {{0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfb}, 6}, /* sti */
        {{0xfb}, 1},                               /* the same without fill */
        {{0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0xfa}, 6}, /* cli */
        {{0x2e, 0x2e, 0x2e, 0x2e, 0x2e, 0x9c}, 6}, /* pushfq */
        {{0x2e, 0x2e, 0x2e, 0xff, 0x47, 0x0c}, 6}, /* incl 12(%rdi) */
        {{0x2e, 0x2e, 0x2e, 0x0f, 0x01, 0x3f}, 6}, /* invlpg (%rdi) */
        {{0xc7, 0x07, 0, 0, 0, 0}, 6},             /* movl $0, (%rdi) */
        {{0x2e, 0xe8, 1, 2, 3, 4}, 6},             /* call */
        {{0xff, 0x15, 1, 2, 3, 4}, 6},             /* call through a word */
        {{0xff, 0x34, 0x24}, 3},                   /* push (%rsp) */
        {{0x8f, 0x44, 0x24, 8}, 4},                /* pop 8(%rsp) */
    };
    struct instruction_shape shape;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(known); i++) {
        assert_true(instruction_shape(known[i].bytes, sizeof(known[i].bytes), &shape));
        assert_int_equal(shape.length, known[i].length);
        assert_int_equal(shape.holds_off_traps, i < 2);
    }
}

/* Instructions that single steps cannot count, or that end them. */
static void what_steps_cannot_count_is_refused(void **state)
{
    static const uint8_t refused[][3] = {
        {0xf3, 0xa4}, {0xf3, 0xab}, {0xf2, 0xae},               /* rep movsb, stosd, scasb */
        {0x9d},       {0x48, 0xcf}, {0xcc},       {0xcd, 3},    /* popf, iretq, int3, int */
        {0x0f, 0x0b}, {0x0f, 0x05}, {0x66, 0xe8}, {0x8e, 0xd0}, /* ud2, syscall, mov ss */
    };
    struct instruction_shape shape;

    (void)state;
    for (unsigned i = 0; i < ARRAY_COUNT(refused); i++) {
        uint8_t bytes[INSTRUCTION_SHAPE_LONGEST] = {0};

        memcpy(bytes, refused[i], sizeof(refused[i]));
        assert_false(instruction_shape(bytes, sizeof(bytes), &shape));
    }
}

static void an_instruction_leads_where_it_can_and_nowhere_else(void **state)
{
    const struct instruction_shape on = {.length = 3, .flow = INSTRUCTION_FLOW_ON};
    const struct instruction_shape direct = {
        .length = 2, .flow = INSTRUCTION_FLOW_DIRECT, .displacement = -5};

    (void)state;
    assert_true(instruction_shape_leads_to(&on, 100, 103));
    assert_false(instruction_shape_leads_to(&on, 100, 102));
    assert_true(instruction_shape_leads_to(&direct, 100, 102));
    assert_true(instruction_shape_leads_to(&direct, 100, 97));
    assert_false(instruction_shape_leads_to(&direct, 100, 103));
}

static int start_decoder(void **state)
{
    (void)state;
    return ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64) ==
                   ZYAN_STATUS_SUCCESS
               ? 0
               : -1;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(accepted_opcodes_have_zydis_shape),
    cmocka_unit_test(accepted_random_bytes_have_zydis_shape),
    cmocka_unit_test(what_is_cut_off_is_refused),
    cmocka_unit_test(instructions_of_paravirt_ops_are_known),
    cmocka_unit_test(what_steps_cannot_count_is_refused),
    cmocka_unit_test(an_instruction_leads_where_it_can_and_nowhere_else),
};

HOST_TEST_MAIN(tests, start_decoder)
