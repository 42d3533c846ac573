// SPDX-License-Identifier: MIT
/* Generator of dispatcher images, see dispatcher_image.h. Invariant: what stands at an offset does
 * not depend on what comes behind it, but for the `jg` whose left part is being put; so a part can
 * be put once more at another offset. Called by: dispatcher.c, tests/host, tests/fuzz.
 * Source: Intel SDM 325383, volume 2, CMP, Jcc, JMP; Optimization Reference Manual 248966, "Code
 * Alignment" (targets at 16 bytes). */
#include "patching/dispatcher_image.h"

#include "patching/bytes.h"
#include "patching/instruction.h"

#include <stdbool.h>

/* What a shape compares with, and in what order. */
static const struct shape_plan {
    const char *name;
    uint8_t leaf_targets; /* of a tree; 0: no tree, one leaf for all */
    uint8_t targets;      /* that are compared with, at most */
    bool is_hottest_last;
} shape_plans[DISPATCHER_SHAPE_COUNT] = {
    [DISPATCHER_TREE] = {"tree", 1, DISPATCHER_ENTRY_MAX, false},
    [DISPATCHER_TREE4] = {"tree4", 4, DISPATCHER_ENTRY_MAX, false},
    [DISPATCHER_LINEAR] = {"linear", 0, DISPATCHER_ENTRY_MAX, false},
    [DISPATCHER_LINEAR_COLD] = {"linear-cold", 0, DISPATCHER_ENTRY_MAX, true},
    [DISPATCHER_HOT1] = {"hot1", 0, 1, false},
    [DISPATCHER_HOT2] = {"hot2", 0, 2, false},
    [DISPATCHER_NONE] = {"none", 0, 0, false},
};

/* A leaf for each target, one inner node less, each behind a gap: the longest image there can be.
 */
_Static_assert(DISPATCHER_ENTRY_MAX *(INSN_CMP_RDX_LENGTH + INSN_JCC32_LENGTH + INSN_JMP32_LENGTH) +
                       (DISPATCHER_ENTRY_MAX - 1) * (INSN_CMP_RDX_LENGTH + INSN_JCC32_LENGTH +
                                                     DISPATCHER_JUMP_ALIGNMENT - 1) <=
                   DISPATCHER_HALF_BYTES,
               "every image fits");

/* An image that is being put together. */
struct image {
    const struct dispatcher_image_request *request;
    const struct shape_plan *plan;
    uint8_t *bytes;
    size_t length;
};

static void put_byte(struct image *image, unsigned byte)
{
    image->bytes[image->length++] = (uint8_t)byte;
}

/* Four bytes, the lowest first: @value is a sign-extended 32-bit number. */
static void put_number(struct image *image, uint64_t value)
{
    bytes_copy(image->bytes + image->length, &value, sizeof(uint32_t));
    image->length += sizeof(uint32_t);
}

/* What is missing behind an opcode: the way from behind the displacement to @target. */
static void put_displacement(struct image *image, uint64_t target)
{
    put_number(image, target - (image->request->address + image->length + sizeof(uint32_t)));
}

static void put_compare(struct image *image, uint64_t target)
{
    put_byte(image, INSN_REX_W);
    put_byte(image, INSN_GROUP1_IMM32);
    put_byte(image, INSN_MODRM_CMP_RDX);
    put_number(image, target);
}

static void put_jump_if(struct image *image, enum instruction_condition condition, uint64_t target)
{
    put_byte(image, INSN_TWO_BYTE);
    put_byte(image, INSN_JCC32 + condition);
    put_displacement(image, target);
}

/* One target of a leaf, by its number. */
static void put_target(struct image *image, unsigned number)
{
    uint64_t target = image->request->targets[number];

    put_compare(image, target);
    put_jump_if(image, INSN_CONDITION_EQUAL, target);
}

/* The targets number @first to @end - 1, in the order of the shape but no more than it compares
 * with, then the way out. */
static void put_leaf(struct image *image, unsigned first, unsigned end)
{
    const struct dispatcher_image_request *request = image->request;
    unsigned left = end - first < image->plan->targets ? end - first : image->plan->targets;

    for (unsigned i = 0; left > 0; i++) {
        unsigned rank = image->plan->is_hottest_last ? request->count - 1 - i : i;
        unsigned number = request->hottest[rank];

        if (number >= first && number < end) {
            put_target(image, number);
            left--;
        }
    }
    put_byte(image, INSN_JMP32);
    put_displacement(image, request->fallback);
}

static void put_gap(struct image *image)
{
    size_t gap = -image->length % DISPATCHER_JUMP_ALIGNMENT;

    instruction_fill_nops(image->bytes + image->length, gap);
    image->length += gap;
}

/* The part of the tree for the targets number @first to @end - 1. How far the `jg` goes is known
 * when the left part and the gap behind it stand; if it is too far for the short form, they are put
 * once more, behind the long one. No node has its left part put more than twice. */
static void put_tree(struct image *image, unsigned first, unsigned end)
{
    unsigned pivot = (first + end - 1) / 2;

    if (end - first <= image->plan->leaf_targets) {
        put_leaf(image, first, end);
        return;
    }
    put_compare(image, image->request->targets[pivot]);

    size_t jump = image->length;

    image->length = jump + INSN_JCC8_LENGTH;
    put_tree(image, first, pivot + 1);
    put_gap(image);

    size_t distance = image->length - (jump + INSN_JCC8_LENGTH);
    bool is_short = distance <= INT8_MAX;

    if (!is_short) {
        image->length = jump + INSN_JCC32_LENGTH;
        put_tree(image, first, pivot + 1);
        put_gap(image);
    }

    size_t right = image->length;

    image->length = jump;
    if (is_short) {
        put_byte(image, INSN_JCC8 + INSN_CONDITION_GREATER);
        put_byte(image, (unsigned)distance);
    } else {
        put_jump_if(image, INSN_CONDITION_GREATER, image->request->address + right);
    }
    image->length = right;
    put_tree(image, pivot + 1, end);
}

static bool is_sign_extended(uint64_t value)
{
    return (uint64_t)(int64_t)(int32_t)value == value;
}

/* True if a jump anywhere in the half reaches @target. */
static bool is_in_reach(const struct dispatcher_image_request *request, uint64_t target)
{
    uint64_t distance = target - request->address;

    return is_sign_extended(distance) && is_sign_extended(distance - DISPATCHER_HALF_BYTES);
}

static enum patch_status check_targets(const struct dispatcher_image_request *request,
                                       uint64_t *culprit)
{
    const uint64_t *targets = request->targets;

    for (unsigned i = 0; i < request->count; i++) {
        *culprit = targets[i];
        if (i > 0 && (int64_t)targets[i - 1] >= (int64_t)targets[i]) {
            return PATCH_ERR_DUPLICATE;
        }
        if (!is_sign_extended(targets[i]) || !is_in_reach(request, targets[i])) {
            return PATCH_ERR_RANGE;
        }
    }
    *culprit = request->fallback;
    return is_in_reach(request, request->fallback) ? PATCH_OK : PATCH_ERR_RANGE;
}

/* That @hottest names each target once. */
static enum patch_status check_ranking(const struct dispatcher_image_request *request,
                                       uint64_t *culprit)
{
    uint64_t named = 0;

    _Static_assert(DISPATCHER_ENTRY_MAX <= 64, "a bit for each");
    for (unsigned i = 0; i < request->count; i++) {
        unsigned number = request->hottest[i];

        *culprit = number;
        if (number >= request->count) {
            return PATCH_ERR_NO_ENTRY;
        }
        if (named >> number & 1) {
            return PATCH_ERR_DUPLICATE;
        }
        named |= 1ull << number;
    }
    return PATCH_OK;
}

static enum patch_status check_request(const struct dispatcher_image_request *request,
                                       uint64_t *culprit)
{
    *culprit = request->address;
    if ((unsigned)request->shape >= DISPATCHER_SHAPE_COUNT ||
        request->address % DISPATCHER_JUMP_ALIGNMENT != 0) {
        return PATCH_ERR_SHAPE;
    }
    if (request->count > DISPATCHER_ENTRY_MAX) {
        *culprit = request->targets[DISPATCHER_ENTRY_MAX];
        return PATCH_ERR_FULL;
    }

    enum patch_status status = check_targets(request, culprit);

    return status == PATCH_OK ? check_ranking(request, culprit) : status;
}

enum patch_status dispatcher_image_generate(const struct dispatcher_image_request *request,
                                            uint8_t *bytes, size_t *length, uint64_t *culprit)
{
    uint64_t ignored;
    enum patch_status status = check_request(request, culprit == NULL ? &ignored : culprit);

    if (status != PATCH_OK) {
        return status;
    }

    struct image image = {.request = request, .plan = &shape_plans[request->shape], .bytes = bytes};

    if (image.plan->leaf_targets == 0 || request->count == 0) {
        put_leaf(&image, 0, request->count);
    } else {
        put_tree(&image, 0, request->count);
    }
    *length = image.length;
    return PATCH_OK;
}

const char *dispatcher_shape_name(enum dispatcher_shape shape)
{
    return (unsigned)shape < DISPATCHER_SHAPE_COUNT ? shape_plans[shape].name : "?";
}

enum dispatcher_shape dispatcher_shape_find(const char *name)
{
    unsigned shape = 0;

    while (shape < DISPATCHER_SHAPE_COUNT && text_compare(shape_plans[shape].name, name) != 0) {
        shape++;
    }
    return (enum dispatcher_shape)shape;
}
