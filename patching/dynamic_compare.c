// SPDX-License-Identifier: MIT
/* Comparisons as changes of a transaction; see dynamic_compare.h. Invariant: slot->compared changes
 * with the text and not without it. Called by: dynamic_call.c, through transactions. */
#include "patching/dynamic_compare.h"

#include "patching/instruction.h"

enum patch_status dynamic_compare_encode(const struct dynamic_call_slot *slot, uint64_t address,
                                         uint64_t compared, uint8_t bytes[PATCH_SITE_LENGTH_MAX])
{
    const struct instruction instruction = {
        .kind =
            compared == DYNAMIC_COMPARED_MEMORY ? INSTRUCTION_COMPARE_MEMORY : INSTRUCTION_COMPARE,
        .length = INSN_COMPARE_LENGTH,
        .target = compared == DYNAMIC_COMPARED_MEMORY ? (uint64_t)&slot->value : compared,
    };

    return instruction_encode(&instruction, address, bytes);
}

static struct dynamic_call_slot *slot_of(const struct patch_change *change)
{
    return change->object;
}

static enum patch_status compare_begin(struct patch_change *change)
{
    struct dynamic_call_slot *slot = slot_of(change);

    if (slot->is_changing) {
        return PATCH_ERR_DUPLICATE;
    }
    slot->is_changing = true;
    change->is_there = slot->compared == change->wanted;
    return PATCH_OK;
}

static enum patch_status compare_queue(const struct patch_change *change, struct patch_batch *batch)
{
    const struct dynamic_call_slot *slot = slot_of(change);
    enum patch_status status = PATCH_OK;

    for (uint32_t i = 0; i < slot->site_count && status == PATCH_OK; i++) {
        uint64_t address = slot->sites[i].address;
        uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
        uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];

        status = dynamic_compare_encode(slot, address, slot->compared, old_bytes);
        if (status == PATCH_OK) {
            status = dynamic_compare_encode(slot, address, change->wanted, new_bytes);
        }
        if (status == PATCH_OK) {
            status = patch_batch_add(batch, address, old_bytes, new_bytes, INSN_COMPARE_LENGTH);
        }
    }
    return status;
}

static void compare_end(struct patch_change *change, bool is_done)
{
    struct dynamic_call_slot *slot = slot_of(change);

    if (is_done) {
        slot->compared = change->wanted;
    }
    slot->is_changing = false;
}

static const struct patch_change_operations compare_operations = {
    .begin = compare_begin,
    .queue = compare_queue,
    .end = compare_end,
};

struct patch_change dynamic_compare_change_to(struct dynamic_call_slot *slot, uint64_t compared)
{
    return (struct patch_change){.operations = &compare_operations,
                                 .name = slot->call->name,
                                 .object = slot,
                                 .wanted = compared};
}
