// SPDX-License-Identifier: MIT
/* See dispatcher_listing.h. */
#include "tests/host/dispatcher_listing.h"

#include <Zydis/Zydis.h>

enum { COMPARE_BYTES = 7, EQUAL_BYTES = 6, JUMP_BYTES = 5, LONGEST_NOP = 9, ALIGNMENT = 16 };

/* Fills in what @listed is. Returns false if it is nothing that an image has. */
static bool list_instruction(const ZydisDecodedInstruction *decoded,
                             const ZydisDecodedOperand *operands, uint64_t address,
                             struct listed_instruction *listed)
{
    ZyanU64 target = 0;

    switch (decoded->mnemonic) {
    case ZYDIS_MNEMONIC_CMP:
        listed->kind = LISTED_COMPARE;
        listed->operand = (uint64_t)operands[1].imm.value.s;
        return decoded->length == COMPARE_BYTES && operands[0].reg.value == ZYDIS_REGISTER_RDX &&
               operands[1].type == ZYDIS_OPERAND_TYPE_IMMEDIATE;
    case ZYDIS_MNEMONIC_NOP:
        listed->kind = LISTED_GAP;
        return true;
    case ZYDIS_MNEMONIC_JZ:
        listed->kind = LISTED_JUMP_EQUAL;
        break;
    case ZYDIS_MNEMONIC_JNLE:
        listed->kind = LISTED_JUMP_GREATER;
        break;
    case ZYDIS_MNEMONIC_JMP:
        listed->kind = LISTED_JUMP;
        break;
    default:
        return false;
    }
    if (!ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(decoded, &operands[0], address, &target))) {
        return false; /* not to an address that stands there */
    }
    listed->operand = target;
    return listed->kind == LISTED_JUMP         ? decoded->length == JUMP_BYTES
           : listed->kind == LISTED_JUMP_EQUAL ? decoded->length == EQUAL_BYTES
                                               : true;
}

static const char *decode_all(struct listing *listing, const uint8_t *bytes)
{
    ZydisDecoder decoder;
    ZydisDecodedInstruction decoded;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];

    ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    for (size_t at = 0; at < listing->length; at += decoded.length) {
        if (listing->count == LISTING_MAX) {
            return "more instructions than any image needs";
        }
        struct listed_instruction *listed = &listing->instructions[listing->count++];

        if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, bytes + at, listing->length - at,
                                                 &decoded, operands))) {
            return "bytes that are no instruction";
        }
        *listed = (struct listed_instruction){.offset = at, .length = decoded.length};
        if (!list_instruction(&decoded, operands, listing->address + at, listed)) {
            return "an instruction that no image has";
        }
    }
    return NULL;
}

/* The instruction at @address, or NULL. */
static const struct listed_instruction *find_instruction(const struct listing *listing,
                                                         uint64_t address)
{
    unsigned from = 0, end = listing->count;

    while (from < end) {
        unsigned middle = (from + end) / 2;
        uint64_t there = listing->instructions[middle].offset;

        if (there == address - listing->address) {
            return &listing->instructions[middle];
        }
        if (there < address - listing->address) {
            from = middle + 1;
        } else {
            end = middle;
        }
    }
    return NULL;
}

/* The nops from @first on. */
static const char *check_gap(const struct listing *listing, unsigned first)
{
    const struct listed_instruction *all = listing->instructions;
    unsigned end = first;
    size_t bytes = 0;

    while (end < listing->count && all[end].kind == LISTED_GAP) {
        bytes += all[end++].length;
    }
    if (first == 0 || all[first - 1].kind != LISTED_JUMP || end == listing->count) {
        return "a nop that is not between two parts";
    }
    if (bytes >= ALIGNMENT || (listing->address + all[end].offset) % ALIGNMENT != 0) {
        return "a gap that does not align what is behind it";
    }
    return end - first > (bytes + LONGEST_NOP - 1) / LONGEST_NOP ? "more nops than are needed"
                                                                 : NULL;
}

static const char *check_jump(const struct listing *listing, const struct listed_instruction *jump)
{
    const struct listed_instruction *target = find_instruction(listing, jump->operand);

    if (target == NULL || target->kind == LISTED_GAP || target <= jump) {
        return "jg to something that is no instruction of the image behind it";
    }
    return jump->operand % ALIGNMENT != 0 ? "jg to a place that is not aligned" : NULL;
}

const char *listing_read(struct listing *listing, const uint8_t *bytes, size_t length,
                         uint64_t address)
{
    listing->address = address;
    listing->length = length;
    listing->count = 0;

    const struct listed_instruction *all = listing->instructions;
    const char *wrong = decode_all(listing, bytes);

    for (unsigned i = 0; i < listing->count && wrong == NULL; i++) {
        bool is_condition = all[i].kind == LISTED_JUMP_EQUAL || all[i].kind == LISTED_JUMP_GREATER;
        bool behind_compare = i > 0 && all[i - 1].kind == LISTED_COMPARE;

        if (is_condition != behind_compare) {
            wrong = "a compare without its jump, or a jump without its compare";
        } else if (all[i].kind == LISTED_JUMP_GREATER) {
            wrong = check_jump(listing, &all[i]);
        } else if (all[i].kind == LISTED_GAP && (i == 0 || all[i - 1].kind != LISTED_GAP)) {
            wrong = check_gap(listing, i);
        }
    }
    if (wrong == NULL && (listing->count == 0 || all[listing->count - 1].kind != LISTED_JUMP)) {
        wrong = "an end that is run into";
    }
    return wrong;
}

const char *listing_walk(const struct listing *listing, uint64_t value, struct listing_path *path)
{
    const struct listed_instruction *end = listing->instructions + listing->count;
    const struct listed_instruction *at = listing->instructions;
    uint64_t compared = 0;

    path->count = 0;
    while (at < end && at->kind != LISTED_GAP) {
        switch (at->kind) {
        case LISTED_COMPARE:
            compared = at->operand;
            path->compares[path->count].number = compared;
            path->compares[path->count++].is_pivot = at[1].kind == LISTED_JUMP_GREATER;
            at++;
            break;
        case LISTED_JUMP_GREATER:
            at = (int64_t)value > (int64_t)compared ? find_instruction(listing, at->operand)
                                                    : at + 1;
            break;
        case LISTED_JUMP_EQUAL:
            if (value == compared) {
                path->end = at->operand;
                return NULL;
            }
            at++;
            break;
        default:
            path->end = at->operand;
            return NULL;
        }
    }
    return "a way that does not lead out";
}

static void expect_compare(struct listing_path *path, uint64_t number, bool is_pivot)
{
    path->compares[path->count].number = number;
    path->compares[path->count++].is_pivot = is_pivot;
}

/* Targets that the shape compares with, at most. */
static unsigned most_compared(const struct dispatcher_image_request *request)
{
    unsigned most = request->shape == DISPATCHER_NONE   ? 0
                    : request->shape == DISPATCHER_HOT1 ? 1
                    : request->shape == DISPATCHER_HOT2 ? 2
                                                        : request->count;

    return most < request->count ? most : request->count;
}

void listing_expect(const struct dispatcher_image_request *request, uint64_t value,
                    struct listing_path *path)
{
    enum dispatcher_shape shape = request->shape;
    bool is_tree = shape == DISPATCHER_TREE || shape == DISPATCHER_TREE4;
    int lowest = 0, highest = (int)request->count - 1;
    int leaf = shape == DISPATCHER_TREE ? 1 : 4;
    unsigned most = most_compared(request);

    path->count = 0;
    path->end = value;
    while (is_tree && highest - lowest + 1 > leaf) {
        int pivot = (lowest + highest) / 2;

        expect_compare(path, request->targets[pivot], true);
        if ((int64_t)value > (int64_t)request->targets[pivot]) {
            lowest = pivot + 1;
        } else {
            highest = pivot;
        }
    }
    for (unsigned i = 0; i < most; i++) {
        int number = request->hottest[shape == DISPATCHER_LINEAR_COLD ? request->count - 1 - i : i];

        if (number < lowest || number > highest) {
            continue; /* in another leaf */
        }
        expect_compare(path, request->targets[number], false);
        if (request->targets[number] == value) {
            return;
        }
    }
    path->end = request->fallback;
}

const char *listing_check_value(const struct listing *listing,
                                const struct dispatcher_image_request *request, uint64_t value)
{
    struct listing_path path, expected;
    const char *wrong = listing_walk(listing, value, &path);

    if (wrong != NULL) {
        return wrong;
    }
    listing_expect(request, value, &expected);
    if (path.end != expected.end) {
        return "a wrong end";
    }
    for (unsigned i = 0; i < path.count || i < expected.count; i++) {
        if (i >= path.count || i >= expected.count ||
            path.compares[i].number != expected.compares[i].number ||
            path.compares[i].is_pivot != expected.compares[i].is_pivot) {
            return "compares in another order, more or less of them";
        }
    }
    return NULL;
}

static size_t leaf_bytes(size_t targets)
{
    return targets * (COMPARE_BYTES + EQUAL_BYTES) + JUMP_BYTES;
}

/* Where a tree of @count targets ends that begins at offset @at. */
static size_t tree_end(size_t count, size_t leaf, size_t at)
{
    size_t left = (count + 1) / 2;

    if (count <= leaf) {
        return at + leaf_bytes(count);
    }
    size_t behind = at + COMPARE_BYTES + LISTING_JUMP_GREATER_8;
    size_t right = (tree_end(left, leaf, behind) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;

    if (right - behind > INT8_MAX) {
        behind = at + COMPARE_BYTES + LISTING_JUMP_GREATER_32;
        right = (tree_end(left, leaf, behind) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    }
    return tree_end(count - left, leaf, right);
}

size_t listing_shortest(const struct dispatcher_image_request *request)
{
    size_t count = request->count;

    switch (request->shape) {
    case DISPATCHER_TREE:
        return tree_end(count, 1, 0);
    case DISPATCHER_TREE4:
        return tree_end(count, 4, 0);
    default:
        return leaf_bytes(most_compared(request));
    }
}
