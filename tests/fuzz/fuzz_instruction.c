// SPDX-License-Identifier: MIT
/* Fuzzes patching/instruction.c against Zydis. An input is an address and the bytes that stand
 * there, then an instruction in the abstract, valid or not.
 *
 * Detects: bytes accepted that Zydis reads otherwise or that are not documented; documented ones
 * refused; a target that is wrong anywhere in 2^64 addresses; an encoding that does not decode to
 * what was asked for; a refusal for the wrong reason; reading or writing beyond the bytes given
 * (each buffer is a heap block of just that size). Could miss: an error that Zydis shares. */
#include "patching/instruction.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/input.h"
#include "tests/fuzz/oracle.h"

#include <string.h>

enum { TEXT_SIZE_LONG = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* An address: raw, or a few bytes away from where arithmetic wraps or a displacement ends. */
static uint64_t take_address(struct input *input, uint64_t origin)
{
    static const uint64_t edges[] = {
        0, 0x7f, (uint64_t)-0x80, 0x7fffffff, (uint64_t)-0x80000000ll, 1ull << 63,
    };
    uint64_t choice = input_take(input, 1);
    uint64_t value = input_take(input, 8);

    if (choice < 128) {
        return value;
    }
    return origin + edges[choice % (sizeof(edges) / sizeof(edges[0]))] +
           (uint64_t)(int64_t)(int8_t)value;
}

static void expect_same(const struct instruction *a, const struct instruction *b, const char *what)
{
    FUZZ_CHECK(
        a->kind == b->kind && a->length == b->length && a->condition == b->condition &&
            a->target == b->target,
        "%s: kind %u, length %u, condition %u, target %#llx, but should be %u, %u, %u, %#llx", what,
        a->kind, a->length, a->condition, (unsigned long long)a->target, b->kind, b->length,
        b->condition, (unsigned long long)b->target);
}

/* The status that the documentation demands of encoding @wanted at @address. */
static enum patch_status expected_status(const struct instruction *wanted, uint64_t address)
{
    static const uint8_t lengths_of[9] = {
        [INSTRUCTION_NOP] = 0xfe,         [INSTRUCTION_JUMP] = 0x24,
        [INSTRUCTION_JUMP_IF] = 0x44,     [INSTRUCTION_CALL] = 0x60,
        [INSTRUCTION_RETURN] = 0xfe,      [INSTRUCTION_RETURN_ZERO] = 0x20,
        [INSTRUCTION_COMPARE] = 0x80,     [INSTRUCTION_COMPARE_MEMORY] = 0x80,
        [INSTRUCTION_CALL_MEMORY] = 0x40,
    };
    uint64_t distance =
        wanted->target - (wanted->kind == INSTRUCTION_COMPARE ? 0 : address + wanted->length);

    if ((unsigned)wanted->kind >= 9 ||
        (wanted->kind == INSTRUCTION_JUMP_IF ? wanted->condition > 15 : wanted->condition != 0)) {
        return PATCH_ERR_INSTRUCTION;
    }
    if (wanted->length >= 8 || !(lengths_of[wanted->kind] >> wanted->length & 1)) {
        return PATCH_ERR_LENGTH;
    }
    if (!oracle_has_operand(wanted->kind)) {
        return PATCH_OK;
    }
    return wanted->length == 2 ? distance + 0x80 < 0x100 ? PATCH_OK : PATCH_ERR_RANGE
           : distance + 0x80000000u < 0x100000000u ? PATCH_OK
                                                   : PATCH_ERR_RANGE;
}

static void check_encode(const struct instruction *wanted, uint64_t address)
{
    uint8_t *bytes = malloc(PATCH_SITE_LENGTH_MAX);
    struct instruction again, oracle;

    memset(bytes, 0x5a, PATCH_SITE_LENGTH_MAX);
    enum patch_status status = instruction_encode(wanted, address, bytes);

    FUZZ_CHECK(status == expected_status(wanted, address), "encode returns %u instead of %u",
               status, expected_status(wanted, address));
    if (status == PATCH_OK) {
        struct instruction expected = *wanted;

        expected.target = oracle_has_operand(wanted->kind) ? wanted->target : 0;
        FUZZ_CHECK(oracle_decode(bytes, wanted->length, address, &oracle),
                   "Zydis knows no such instruction");
        expect_same(&oracle, &expected, "Zydis reads what was encoded");
        FUZZ_CHECK(instruction_decode(bytes, wanted->length, address, &again) == PATCH_OK,
                   "what was encoded is not decoded");
        expect_same(&again, &expected, "what was encoded");
        for (size_t i = wanted->length; i < PATCH_SITE_LENGTH_MAX; i++) {
            FUZZ_CHECK(bytes[i] == 0x5a, "byte %zu written by an encoding of %u", i,
                       wanted->length);
        }
    }
    free(bytes);
}

/* Text of whatever may be asked for: never beyond its buffer, cut where that ends. */
static void check_text(const struct instruction *instruction, size_t size)
{
    char whole[TEXT_SIZE_LONG];
    char *cut = malloc(size);

    instruction_text(instruction, whole, sizeof(whole));
    FUZZ_CHECK(strlen(whole) < INSTRUCTION_TEXT_SIZE, "'%s' is too long", whole);
    FUZZ_CHECK(instruction_text(instruction, cut, size) == cut, "another buffer returned");
    if (size > 0) {
        size_t length = strlen(whole) < size ? strlen(whole) : size - 1;

        FUZZ_CHECK(strlen(cut) == length && memcmp(cut, whole, length) == 0,
                   "'%s' is not the beginning of '%s'", cut, whole);
    }
    if (oracle_has_operand(instruction->kind)) {
        const char *number = strstr(whole, "0x");

        FUZZ_CHECK(number != NULL && strtoull(number, NULL, 16) == instruction->target,
                   "'%s' does not name %#llx", whole, (unsigned long long)instruction->target);
    }
    free(cut);
}

static void check_decode(const uint8_t *site, size_t length, uint64_t address)
{
    uint8_t *bytes = malloc(length);
    uint8_t again[PATCH_SITE_LENGTH_MAX];
    struct instruction instruction, oracle;

    memset(bytes, 0, length);
    memcpy(bytes, site, length < PATCH_SITE_LENGTH_MAX ? length : PATCH_SITE_LENGTH_MAX);
    enum patch_status status = instruction_decode(bytes, length, address, &instruction);

    if (length == 0 || length > PATCH_SITE_LENGTH_MAX) {
        FUZZ_CHECK(status == PATCH_ERR_LENGTH, "decode of %zu bytes returns %u", length, status);
    } else if (!oracle_decode(bytes, length, address, &oracle)) {
        FUZZ_CHECK(status == PATCH_ERR_INSTRUCTION, "decode returns %u for bytes not documented",
                   status);
    } else {
        FUZZ_CHECK(status == PATCH_OK, "decode returns %u for a documented instruction", status);
        expect_same(&instruction, &oracle, "decoded");
        FUZZ_CHECK(instruction_encode(&instruction, address, again) == PATCH_OK &&
                       memcmp(again, bytes, length) == 0,
                   "encodes to other bytes than it was decoded from");
        check_text(&instruction, INSTRUCTION_TEXT_SIZE);
    }
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {.bytes = data, .size = size};
    uint8_t site[PATCH_SITE_LENGTH_MAX];
    struct instruction wanted;

    uint64_t address = take_address(&input, 0);
    size_t length = input_take(&input, 1);
    input_take_bytes(&input, site, sizeof(site));
    check_decode(site, length, address);

    wanted.kind = (enum instruction_kind)(int8_t)input_take(&input, 1);
    wanted.length = (uint8_t)input_take(&input, 1);
    wanted.condition = (uint8_t)input_take(&input, 1);
    wanted.target =
        take_address(&input, wanted.kind == INSTRUCTION_COMPARE ? 0 : address + wanted.length);
    check_encode(&wanted, address);
    if ((unsigned)wanted.kind < INSTRUCTION_KIND_COUNT) {
        check_text(&wanted, input_take(&input, 1) % TEXT_SIZE_LONG);
    }
    return 0;
}
