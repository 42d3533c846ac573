// SPDX-License-Identifier: MIT
/* See model.h. Called by: fuzz_batch.c. */
#include "tests/fuzz/model.h"

#include "tests/fuzz/check.h"
#include "tests/fuzz/machine.h"
#include "tests/fuzz/oracle.h"

#include <string.h>

#define FAULT(status) (1u << (status))

enum { QUADWORD = sizeof(uint64_t) };

/* Who owns each byte of the arena: index of a site + 1; the last one added if there are several. */
static uint16_t owner[ARENA_SIZE];

enum patch_status model_add(struct model *model, enum model_way way, uint64_t address,
                            const uint8_t *old_bytes, const uint8_t *new_bytes, size_t length,
                            uint64_t stand_in)
{
    uint64_t distance = stand_in - (address + length);

    if (model->refused == PATCH_OK && (length < 1 || length > 7)) {
        model->refused = PATCH_ERR_LENGTH;
    }
    if (model->refused == PATCH_OK && model->count == 4096) {
        model->refused = PATCH_ERR_FULL;
    }
    if (model->refused == PATCH_OK && way == MODEL_ADD_STAND_IN &&
        distance + 0x80000000u >= 0x100000000u) {
        model->refused = PATCH_ERR_RANGE;
    }
    if (model->refused == PATCH_OK) {
        struct model_site *site = &model->sites[model->count++];

        model->is_empty = false;
        site->address = address;
        site->length = (uint8_t)length;
        site->is_last = way == MODEL_ADD_LAST;
        site->has_stand_in = way == MODEL_ADD_STAND_IN;
        site->stand_in = stand_in;
        memcpy(site->old_bytes, old_bytes, length);
        memcpy(site->new_bytes, new_bytes, length);
    }
    return model->refused;
}

bool model_site_changes(const struct model_site *site)
{
    return memcmp(site->old_bytes, site->new_bytes, site->length) != 0;
}

static bool is_patchable(const struct model_site *site)
{
    unsigned __int128 end = (unsigned __int128)site->address + site->length;

    return site->address >= machine.text_start && end <= machine.text_end;
}

static bool crosses_quadword(const struct model_site *site)
{
    return site->address % QUADWORD + site->length > QUADWORD;
}

static bool may_take_quadwords(const struct model *model)
{
    return machine.fetches_quadwords || model->flags & PATCH_ALLOW_UNSAFE;
}

bool model_has_last(const struct model *model)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->sites[i].is_last && model_site_changes(&model->sites[i])) {
            return true;
        }
    }
    return false;
}

static bool takes_quadword(const struct model *model, const struct model_site *site)
{
    return model->protocol == PATCH_PROTOCOL_QWORD && may_take_quadwords(model) &&
           !crosses_quadword(site) && (site->is_last || !model_has_last(model));
}

/* One documented instruction; of a last site a nop or an unconditional jump. With a stand-in
 * anything but int3. */
static bool may_stand(const struct model_site *site, const uint8_t *bytes)
{
    struct instruction instruction;

    if (site->has_stand_in) {
        return bytes[0] != 0xcc;
    }
    return oracle_decode(bytes, site->length, site->address, &instruction) &&
           (!site->is_last || instruction.kind == INSTRUCTION_NOP ||
            instruction.kind == INSTRUCTION_JUMP);
}

/* What is wrong with @site alone. */
static uint32_t site_faults(const struct model *model, const struct model_site *site)
{
    uint32_t faults = 0;

    if (!may_stand(site, site->old_bytes) || !may_stand(site, site->new_bytes)) {
        faults |= FAULT(PATCH_ERR_INSTRUCTION);
    }
    if (!is_patchable(site)) {
        return faults | FAULT(PATCH_ERR_NOT_TEXT);
    }
    if (memcmp((const void *)site->address, site->old_bytes, site->length) != 0) {
        faults |= FAULT(PATCH_ERR_UNEXPECTED);
    }
    if (model->protocol == PATCH_PROTOCOL_QWORD && model->flags & PATCH_STRICT &&
        model_site_changes(site) && !takes_quadword(model, site)) {
        faults |= FAULT(may_take_quadwords(model) ? PATCH_ERR_QUADWORD : PATCH_ERR_UNSAFE);
    }
    return faults;
}

/* Enters the bytes of all sites in the map of owners; returns the collisions on the way. */
static uint32_t collision_faults(const struct model *model)
{
    uint32_t faults = 0;

    memset(owner, 0, sizeof(owner));
    for (uint32_t i = 0; i < model->count; i++) {
        const struct model_site *site = &model->sites[i];

        for (size_t j = 0; j < site->length && is_patchable(site); j++) {
            uint16_t *entry = &owner[site->address - ARENA_ADDRESS + j];

            if (*entry != 0) {
                faults |= model->sites[*entry - 1].address == site->address
                              ? FAULT(PATCH_ERR_DUPLICATE)
                              : FAULT(PATCH_ERR_OVERLAP);
            }
            *entry = (uint16_t)(i + 1);
        }
    }
    return faults;
}

/* True if the new instruction of @site, or what its int3 stands for, goes to @target. */
static bool goes_to(const struct model_site *site, uint64_t *target)
{
    struct instruction instruction;

    if (site->has_stand_in) {
        *target = site->stand_in;
        return true;
    }
    if (!oracle_decode(site->new_bytes, site->length, site->address, &instruction) ||
        !oracle_has_target(instruction.kind)) {
        return false;
    }
    *target = instruction.target;
    return true;
}

static uint32_t target_faults(const struct model *model)
{
    uint32_t faults = 0;

    for (uint32_t i = 0; i < model->count; i++) {
        uint64_t target;

        if (goes_to(&model->sites[i], &target) && target - ARENA_ADDRESS < ARENA_SIZE) {
            uint16_t hit = owner[target - ARENA_ADDRESS];

            if (hit != 0 && model->sites[hit - 1].address != target) {
                faults |= FAULT(PATCH_ERR_TARGET_IN_SITE);
            }
        }
    }
    return faults;
}

uint32_t model_faults(const struct model *model)
{
    uint32_t faults = machine.may_patch ? 0 : FAULT(PATCH_ERR_CONTEXT);

    if (model->refused != PATCH_OK) {
        return faults | FAULT(model->refused);
    }
    if (model->protocol >= 5 || model->flags > 3) {
        faults |= FAULT(PATCH_ERR_PROTOCOL);
    }
    if (model->protocol == PATCH_PROTOCOL_NAIVE && !(model->flags & PATCH_ALLOW_UNSAFE)) {
        faults |= FAULT(PATCH_ERR_UNSAFE);
    }
    if (model->is_empty) {
        faults |= FAULT(PATCH_ERR_EMPTY);
    }
    for (uint32_t i = 0; i < model->count; i++) {
        faults |= site_faults(model, &model->sites[i]);
    }
    faults |= collision_faults(model);
    return faults | target_faults(model);
}

/* True if a site at @a and another at @b share a byte. */
static bool sites_collide(const struct model *model, uint64_t a, uint64_t b)
{
    for (uint32_t i = 0; i < model->count; i++) {
        for (uint32_t j = 0; j < model->count && model->sites[i].address == a; j++) {
            const struct model_site *one = &model->sites[i];
            const struct model_site *two = &model->sites[j];

            if (i != j && two->address == b && one->address < two->address + two->length &&
                two->address < one->address + one->length) {
                return true;
            }
        }
    }
    return false;
}

/* True if the site at @address is to go to behind the first byte of the site at @other. */
static bool site_goes_into(const struct model *model, uint64_t address, uint64_t other)
{
    for (uint32_t i = 0; i < model->count; i++) {
        for (uint32_t j = 0; j < model->count && model->sites[i].address == address; j++) {
            const struct model_site *hit = &model->sites[j];
            uint64_t target;

            if (hit->address == other && goes_to(&model->sites[i], &target) && target - other > 0 &&
                target - other < hit->length) {
                return true;
            }
        }
    }
    return false;
}

static bool any_site_has(const struct model *model, uint64_t address, enum patch_status status)
{
    for (uint32_t i = 0; i < model->count; i++) {
        if (model->sites[i].address == address &&
            site_faults(model, &model->sites[i]) & FAULT(status)) {
            return true;
        }
    }
    return false;
}

static bool error_is_true(const struct model *model, const struct patch_error *error)
{
    switch (error->status) {
    case PATCH_ERR_DUPLICATE:
        return error->address == error->other && sites_collide(model, error->address, error->other);
    case PATCH_ERR_OVERLAP:
        return error->address != error->other && sites_collide(model, error->address, error->other);
    case PATCH_ERR_TARGET_IN_SITE:
        return site_goes_into(model, error->address, error->other);
    case PATCH_ERR_INSTRUCTION:
    case PATCH_ERR_NOT_TEXT:
    case PATCH_ERR_UNEXPECTED:
    case PATCH_ERR_QUADWORD:
        return any_site_has(model, error->address, error->status);
    case PATCH_ERR_UNSAFE: /* naive; or qword, of the site that cannot be written whole */
        return error->other == 0 && (model->protocol == PATCH_PROTOCOL_NAIVE
                                         ? error->address == 0
                                         : any_site_has(model, error->address, error->status));
    case PATCH_ERR_LENGTH:
    case PATCH_ERR_FULL:
    case PATCH_ERR_RANGE:
        return true; /* of a site that never came into the batch */
    default:
        return error->address == 0 && error->other == 0;
    }
}

void model_check_error(const struct model *model, const struct patch_error *error)
{
    FUZZ_CHECK(model->refused != PATCH_OK || error_is_true(model, error),
               "error %u at %#llx, other %#llx: not so", error->status,
               (unsigned long long)error->address, (unsigned long long)error->other);
    /* An error that sticks from a plan tells what stood there then. */
    if (model->refused == PATCH_OK && error->status == PATCH_ERR_UNEXPECTED) {
        FUZZ_CHECK(memcmp(error->actual, (const void *)error->address, error->length) == 0,
                   "error shows bytes that do not stand there");
    }
}

struct model_cost model_cost(const struct model *model)
{
    struct model_cost cost = {0};
    bool is_stepwise =
        model->protocol != PATCH_PROTOCOL_STOP && model->protocol != PATCH_PROTOCOL_NAIVE;
    bool any_int3 = false, any_tail = false;

    for (uint32_t i = 0; i < model->count; i++) {
        const struct model_site *site = &model->sites[i];
        bool tail = memcmp(site->old_bytes + 1, site->new_bytes + 1, site->length - 1u) != 0;

        if (!model_site_changes(site)) {
            continue;
        }
        cost.sites++;
        if (takes_quadword(model, site)) {
            cost.quadwords++;
            cost.bytes += QUADWORD;
        } else if (is_stepwise) {
            cost.bytes += 2 + (tail ? site->length - 1u : 0);
            any_int3 = true;
            any_tail |= tail;
        } else {
            cost.bytes += site->length;
        }
        if (model->protocol == PATCH_PROTOCOL_INT3) {
            cost.rounds += 2u + tail;
        }
    }
    if (cost.sites > 0 && is_stepwise && model->protocol != PATCH_PROTOCOL_INT3) {
        cost.rounds = 1u + any_int3 + any_tail;
    }
    if (cost.sites > 0 && model->protocol == PATCH_PROTOCOL_STOP) {
        cost.rounds = 1;
    }
    return cost;
}

void model_drop_unchanged(struct model *model)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < model->count; i++) {
        if (model_site_changes(&model->sites[i])) {
            model->sites[kept++] = model->sites[i];
        }
    }
    model->count = kept;
}

void model_apply(const struct model *model, uint8_t *bytes)
{
    for (uint32_t i = 0; i < model->count; i++) {
        const struct model_site *site = &model->sites[i];

        memcpy(bytes + (site->address - ARENA_ADDRESS), site->new_bytes, site->length);
    }
}
