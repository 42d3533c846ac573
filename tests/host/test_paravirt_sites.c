// SPDX-License-Identifier: MIT
/* Every op of arch/paravirt_table.h in every form, as Zydis reads it: one instruction of six bytes,
 * which is what was meant. Of an inline form: the instruction of the table's text, the same with
 * and without its fill (operands, width, what it reads, writes and does to the flags), and no
 * prefix that means anything. Could miss: a processor to which the fill means something else than
 * to Zydis; test_paravirt_code.c executes what a program may, the kernel's suites the rest. */
#include "tests/host/paravirts.h"

#include "tests/host/host_test.h"

#include <Zydis/Zydis.h>
#include <ctype.h>
#include <string.h>

enum { BEHIND = 16 };

static ZydisDecoder decoder;
static ZydisFormatter formatter;

struct decoded {
    ZydisDecodedInstruction instruction;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

static struct decoded decode(const uint8_t *bytes, size_t length)
{
    struct decoded decoded;
    uint8_t room[BEHIND];

    memset(room, 0xcc, sizeof(room));
    memcpy(room, bytes, length);
    memset(&decoded, 0, sizeof(decoded));
    assert_true(ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, room, sizeof(room),
                                                    &decoded.instruction, decoded.operands)));
    assert_int_equal(decoded.instruction.length, length);
    return decoded;
}

static uint64_t op_index(const struct paravirt_op *op)
{
    return (uint64_t)(op - paravirt_ops);
}

/* Around @target: near, at the edges of the reach of a displacement, across quadwords, lines and
 * pages. */
static size_t addresses_around(uint64_t target, uint64_t *addresses)
{
    static const uint64_t boundaries[] = {8, 16, 64, 4096};
    size_t count = 0;
    uint64_t page = (target & ~(uint64_t)4095) + (1 << 20);

    for (size_t i = 0; i < ARRAY_COUNT(boundaries); i++) {
        for (unsigned before = 0; before <= PARAVIRT_SITE_LENGTH; before++) {
            addresses[count++] = page + boundaries[i] - before;
        }
    }
    addresses[count++] = target;
    addresses[count++] = target - PARAVIRT_SITE_LENGTH;
    addresses[count++] = target - PARAVIRT_SITE_LENGTH - INT32_MAX;
    addresses[count++] = target - PARAVIRT_SITE_LENGTH + ((uint64_t)INT32_MAX + 1);
    return count;
}

static void expect_direct(const struct decoded *decoded, uint64_t address, uint64_t target)
{
    uint64_t found = 0;

    assert_int_equal(decoded->instruction.mnemonic, ZYDIS_MNEMONIC_CALL);
    assert_int_equal(decoded->operands[0].type, ZYDIS_OPERAND_TYPE_IMMEDIATE);
    assert_true(decoded->operands[0].imm.is_relative);
    assert_true(ZYAN_SUCCESS(
        ZydisCalcAbsoluteAddress(&decoded->instruction, &decoded->operands[0], address, &found)));
    assert_int_equal(found, target);
}

static void expect_indirect(const struct decoded *decoded, uint64_t address, uint64_t slot)
{
    uint64_t found = 0;

    assert_int_equal(decoded->instruction.mnemonic, ZYDIS_MNEMONIC_CALL);
    assert_int_equal(decoded->operands[0].type, ZYDIS_OPERAND_TYPE_MEMORY);
    assert_int_equal(decoded->operands[0].mem.base, ZYDIS_REGISTER_RIP);
    assert_int_equal(decoded->operands[0].size, 64);
    assert_true(ZYAN_SUCCESS(
        ZydisCalcAbsoluteAddress(&decoded->instruction, &decoded->operands[0], address, &found)));
    assert_int_equal(found, slot);
}

/* Of prefixes there is the fill alone, as often as there is room. */
static void expect_fill(const struct decoded *decoded, size_t fill)
{
    const ZyanU64 meaningful = ZYDIS_ATTRIB_HAS_LOCK | ZYDIS_ATTRIB_HAS_REP |
                               ZYDIS_ATTRIB_HAS_REPE | ZYDIS_ATTRIB_HAS_REPNE |
                               ZYDIS_ATTRIB_HAS_OPERANDSIZE | ZYDIS_ATTRIB_HAS_ADDRESSSIZE |
                               ZYDIS_ATTRIB_HAS_SEGMENT_FS | ZYDIS_ATTRIB_HAS_SEGMENT_GS;

    assert_int_equal(decoded->instruction.attributes & meaningful, 0);
    assert_int_equal(decoded->instruction.raw.prefix_count, fill);
    for (size_t i = 0; i < fill; i++) {
        assert_int_equal(decoded->instruction.raw.prefixes[i].value, 0x2e);
    }
}

static void expect_same_operand(const ZydisDecodedOperand *padded, const ZydisDecodedOperand *bare)
{
    assert_int_equal(padded->type, bare->type);
    assert_int_equal(padded->visibility, bare->visibility);
    assert_int_equal(padded->actions, bare->actions);
    assert_int_equal(padded->size, bare->size);
    assert_int_equal(padded->element_count, bare->element_count);
    switch (bare->type) {
    case ZYDIS_OPERAND_TYPE_REGISTER:
        assert_int_equal(padded->reg.value, bare->reg.value);
        break;
    case ZYDIS_OPERAND_TYPE_MEMORY:
        assert_int_equal(padded->mem.type, bare->mem.type);
        assert_int_equal(padded->mem.segment, bare->mem.segment);
        assert_int_equal(padded->mem.base, bare->mem.base);
        assert_int_equal(padded->mem.index, bare->mem.index);
        assert_int_equal(padded->mem.disp.value, bare->mem.disp.value);
        break;
    case ZYDIS_OPERAND_TYPE_IMMEDIATE:
        assert_int_equal(padded->imm.value.u, bare->imm.value.u);
        break;
    default:
        fail();
    }
}

/* The fill changes nothing. */
static void expect_same(const struct decoded *padded, const struct decoded *bare)
{
    const ZydisDecodedInstruction *a = &padded->instruction, *b = &bare->instruction;

    assert_int_equal(a->mnemonic, b->mnemonic);
    assert_int_equal(a->opcode, b->opcode);
    assert_int_equal(a->opcode_map, b->opcode_map);
    assert_int_equal(a->operand_width, b->operand_width);
    assert_int_equal(a->address_width, b->address_width);
    assert_int_equal(a->stack_width, b->stack_width);
    assert_int_equal(a->operand_count, b->operand_count);
    assert_int_equal(a->cpu_flags->modified, b->cpu_flags->modified);
    assert_int_equal(a->cpu_flags->tested, b->cpu_flags->tested);
    for (ZyanU8 i = 0; i < b->operand_count; i++) {
        expect_same_operand(&padded->operands[i], &bare->operands[i]);
    }
}

/* Lower case, without the spaces between operands. */
static void text_normalize(const char *text, char *normal)
{
    const char *operands = strchr(text, ' ');

    for (const char *c = text; *c != '\0'; c++) {
        if (*c != ' ' || c == operands) {
            *normal++ = (char)tolower((unsigned char)*c);
        }
    }
    *normal = '\0';
}

/* Zydis and the table agree, but that Zydis leaves the letter away that names the width: then the
 * operand in memory has it. */
static void expect_text(const struct decoded *bare, const char *text)
{
    static const char letters[] = "bwlq";
    char written[96], found[96], wanted[96];

    assert_true(ZYAN_SUCCESS(ZydisFormatterFormatInstruction(
        &formatter, &bare->instruction, bare->operands, bare->instruction.operand_count_visible,
        written, sizeof(written), 0, NULL)));
    text_normalize(written, found);
    text_normalize(text, wanted);
    if (strcmp(found, wanted) != 0) {
        char *letter = wanted + strcspn(found, " ");
        const ZydisDecodedOperand *memory = bare->operands;

        while (memory->type != ZYDIS_OPERAND_TYPE_MEMORY) {
            memory++;
        }
        assert_non_null(strchr(letters, *letter));
        assert_int_equal(memory->size, 8u << (strchr(letters, *letter) - letters));
        memmove(letter, letter + 1, strlen(letter));
    }
    assert_string_equal(found, wanted);
}

/* Encodes, compares with the picture, decodes. */
static struct decoded site_at(const struct paravirt_op *op, uint64_t address,
                              enum paravirt_form form, const struct paravirt_way *way)
{
    uint8_t bytes[PARAVIRT_SITE_LENGTH + 2], expected[PARAVIRT_SITE_LENGTH];

    memset(bytes, 0xa5, sizeof(bytes));
    assert_int_equal(paravirt_site_encode(op, address, form, way, bytes), PATCH_OK);
    paravirts_expected(op, address, form, way, expected);
    assert_memory_equal(bytes, expected, sizeof(expected));
    assert_int_equal(bytes[PARAVIRT_SITE_LENGTH], 0xa5); /* no byte beyond */
    return decode(bytes, PARAVIRT_SITE_LENGTH);
}

static void every_op_in_direct_form_calls_its_function(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        const struct paravirt_way *ways[] = {paravirt_native_ways[i], paravirt_subjects[i].other};

        for (size_t way = 0; way < ARRAY_COUNT(ways); way++) {
            uint64_t target = (uint64_t)ways[way]->function, addresses[64];
            size_t count = addresses_around(target, addresses);

            for (size_t n = 0; n < count; n++) {
                struct decoded decoded =
                    site_at(&paravirt_ops[i], addresses[n], PARAVIRT_DIRECT, ways[way]);

                expect_direct(&decoded, addresses[n], target);
                expect_fill(&decoded, 1);
            }
        }
    }
}

static void every_op_in_indirect_form_calls_through_its_slot(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        uint64_t slot = (uint64_t)&pv_ops[i], addresses[64];
        size_t count = addresses_around(slot, addresses);

        for (size_t n = 0; n < count; n++) {
            struct decoded decoded =
                site_at(&paravirt_ops[i], addresses[n], PARAVIRT_INDIRECT, paravirt_native_ways[i]);

            expect_indirect(&decoded, addresses[n], slot);
            expect_fill(&decoded, 0);
        }
    }
}

/* An op that is a function is called where it cannot be inlined. */
static void every_op_in_inline_form_is_its_instruction(void **state)
{
    (void)state;
    unsigned instructions = 0;

    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        const struct paravirt_way *way = paravirt_native_ways[i];
        uint64_t target = (uint64_t)way->function, addresses[64];
        size_t count = addresses_around(target, addresses);

        for (size_t n = 0; n < count; n++) {
            struct decoded decoded = site_at(&paravirt_ops[i], addresses[n], PARAVIRT_INLINE, way);

            if (way->instruction == NULL) {
                expect_direct(&decoded, addresses[n], target);
                continue;
            }
            size_t length = (size_t)(way->instruction_end - way->instruction);
            struct decoded bare = decode(way->instruction, length);

            expect_text(&bare, way->text);
            expect_fill(&bare, 0);
            expect_same(&decoded, &bare);
            expect_fill(&decoded, PARAVIRT_SITE_LENGTH - length);
            instructions += n == 0;
        }
    }
    assert_in_range(instructions, 1, PARAVIRT_OP_COUNT);
}

/* The stand-in of an int3, and what the other forms call, is the same instruction. */
static void out_of_line_copy_holds_the_bytes_that_are_inlined(void **state)
{
    (void)state;
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        const struct paravirt_way *way = paravirt_native_ways[i];
        const uint8_t *code = (const uint8_t *)way->function;
        bool is_stacked = paravirt_subjects[i].shape == PARAVIRT_SHAPE_STACKED;

        if (way->instruction == NULL) {
            continue;
        }
        size_t length = (size_t)(way->instruction_end - way->instruction);

        if (is_stacked) { /* push [rsp]; instruction; pop [rsp + 8] */
            struct decoded push = decode(code, 3);

            assert_int_equal(push.instruction.mnemonic, ZYDIS_MNEMONIC_PUSH);
            code += 3;
        }
        assert_memory_equal(code, way->instruction, length);
        code += length;
        if (is_stacked) {
            struct decoded pop = decode(code, 4);

            assert_int_equal(pop.instruction.mnemonic, ZYDIS_MNEMONIC_POP);
            code += 4;
        }
        assert_int_equal(decode(code, 1).instruction.mnemonic, ZYDIS_MNEMONIC_RET);
    }
}

/* One byte beyond the reach of each side. */
static void target_out_of_reach_is_refused(void **state)
{
    (void)state;
    static const uint64_t beyond[] = {(uint64_t)INT32_MAX + 1, (uint64_t)INT32_MIN - 1, 1ull << 62,
                                      1ull << 63};

    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        const struct paravirt_op *op = &paravirt_ops[i];
        const struct paravirt_way *way = paravirt_subjects[i].other;

        for (size_t n = 0; n < ARRAY_COUNT(beyond); n++) {
            uint64_t by_slot = (uint64_t)&pv_ops[i] - PARAVIRT_SITE_LENGTH - beyond[n];
            uint64_t by_function = (uint64_t)way->function - PARAVIRT_SITE_LENGTH - beyond[n];
            uint8_t bytes[PARAVIRT_SITE_LENGTH];

            assert_int_equal(paravirt_site_encode(op, by_slot, PARAVIRT_INDIRECT, way, bytes),
                             PATCH_ERR_RANGE);
            assert_int_equal(paravirt_site_encode(op, by_function, PARAVIRT_DIRECT, way, bytes),
                             PATCH_ERR_RANGE);
            assert_int_equal(paravirt_site_encode(op, by_function, PARAVIRT_INLINE, way, bytes),
                             PATCH_ERR_RANGE);
        }
    }
}

/* Lengths 1 to 6 fit, with their fill; everything else is refused, and says so of itself. */
static void instruction_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    static const uint8_t nop7[] = {0x0f, 0x1f, 0x80, 0, 0, 0, 0, 0x90};
    const struct paravirt_op *op = &paravirt_ops[PARAVIRT_lock_kick];

    for (int length = -1; length <= (int)sizeof(nop7); length++) {
        const struct paravirt_way way = {"of_a_length", op->way->function, "text", &nop7[1],
                                         &nop7[1] + length};
        bool fits = length >= 1 && length <= PARAVIRT_SITE_LENGTH;
        uint8_t bytes[PARAVIRT_SITE_LENGTH], expected[PARAVIRT_SITE_LENGTH];
        uint64_t address = (uint64_t)way.function + 64;

        assert_int_equal(paravirt_way_is_instruction(&way), fits);
        assert_int_equal(paravirt_site_encode(op, address, PARAVIRT_INLINE, &way, bytes),
                         fits ? PATCH_OK : PATCH_ERR_INSTRUCTION);
        if (fits) {
            paravirts_expected(op, address, PARAVIRT_INLINE, &way, expected);
            assert_memory_equal(bytes, expected, sizeof(bytes));
        }
        assert_int_equal(paravirt_site_encode(op, address, PARAVIRT_DIRECT, &way, bytes), PATCH_OK);
    }
    assert_false(paravirt_way_is_instruction(paravirt_subjects[PARAVIRT_lock_kick].other));
}

/* As compiled: each is the indirect call of its op, and in a place of its own. */
static void sites_are_compiled_as_the_table_lists_them(void **state)
{
    (void)state;
    unsigned of_op[PARAVIRT_OP_COUNT] = {0};

    for (const struct paravirt_site *site = paravirt_sites_start; site < paravirt_sites_end;
         site++) {
        assert_in_range(site->op, 0, PARAVIRT_OP_COUNT - 1);
        of_op[site->op]++;

        struct decoded decoded = decode((const uint8_t *)site->address, PARAVIRT_SITE_LENGTH);

        expect_indirect(&decoded, site->address, (uint64_t)&pv_ops[site->op]);
    }
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        assert_int_equal(op_index(&paravirt_ops[i]), i);
        assert_int_equal(of_op[i], 4); /* a runner, a call, two calls: paravirts.c */
    }
}

static int group_setup(void **state)
{
    (void)state;
    static const struct {
        ZydisFormatterProperty property;
        ZyanUPointer value;
    } decimal[] = {
        {ZYDIS_FORMATTER_PROP_DISP_BASE, ZYDIS_NUMERIC_BASE_DEC},
        {ZYDIS_FORMATTER_PROP_IMM_BASE, ZYDIS_NUMERIC_BASE_DEC},
        {ZYDIS_FORMATTER_PROP_IMM_PADDING, ZYDIS_PADDING_DISABLED},
    };
    bool is_ready = ZYAN_SUCCESS(ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64,
                                                  ZYDIS_STACK_WIDTH_64)) &&
                    ZYAN_SUCCESS(ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_ATT));

    for (size_t i = 0; i < ARRAY_COUNT(decimal) && is_ready; i++) {
        is_ready = ZYAN_SUCCESS(
            ZydisFormatterSetProperty(&formatter, decimal[i].property, decimal[i].value));
    }
    for (size_t i = 0; i < PARAVIRT_OP_COUNT; i++) {
        paravirt_ops[i].slot = &pv_ops[i]; /* nothing is initialized here */
    }
    return is_ready ? 0 : -1;
}

static const struct CMUnitTest tests[] = {
    cmocka_unit_test(sites_are_compiled_as_the_table_lists_them),
    cmocka_unit_test(every_op_in_direct_form_calls_its_function),
    cmocka_unit_test(every_op_in_indirect_form_calls_through_its_slot),
    cmocka_unit_test(every_op_in_inline_form_is_its_instruction),
    cmocka_unit_test(out_of_line_copy_holds_the_bytes_that_are_inlined),
    cmocka_unit_test(target_out_of_reach_is_refused),
    cmocka_unit_test(instruction_that_does_not_fit_is_refused),
};

HOST_TEST_MAIN(tests, group_setup)
