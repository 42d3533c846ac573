// SPDX-License-Identifier: MIT
/* The dynamic calls there are, and which comparisons are whose. Invariant: behind initialize each
 * comparison of the table belongs to one slot, and stands there in memory form; each slot has as
 * many as its call's first one, unless the compiler found that a slot is never asked. Called by:
 * main.c (initialize), dynamic_call.c, the shell. */
#include "patching/bytes.h"
#include "patching/dynamic_compare.h"
#include "patching/heap_sort.h"
#include "patching/instruction.h"
#include "patching/platform.h"

struct dynamic_call *dynamic_call_at(unsigned index)
{
    size_t count = (size_t)(dynamic_calls_end - dynamic_calls_start);

    return index < count ? dynamic_calls_start[index] : NULL;
}

struct dynamic_call *dynamic_call_find(const char *name)
{
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        if (text_compare(call->name, name) == 0) {
            return call;
        }
    }
    return NULL;
}

static bool site_before(const void *a, const void *b)
{
    const struct dynamic_call_site *left = a, *right = b;

    return left->slot != right->slot ? left->slot < right->slot : left->address < right->address;
}

static bool slot_is_known(const struct dynamic_call_slot *slot)
{
    const struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        for (uint32_t number = 0; number < call->slot_count; number++) {
            if (slot == &call->slots[number]) {
                return true;
            }
        }
    }
    return false;
}

/* As the compiler left it: a comparison with the slot's value. */
static enum patch_status site_check(const struct dynamic_call_site *site)
{
    const uint8_t *text = (const uint8_t *)site->address;
    uint8_t bytes[PATCH_SITE_LENGTH_MAX];

    if (!platform_text_is_patchable(text, INSN_COMPARE_LENGTH)) {
        return PATCH_ERR_NOT_TEXT;
    }
    if (!slot_is_known(site->slot) ||
        dynamic_compare_encode(site->slot, site->address, DYNAMIC_COMPARED_MEMORY, bytes) !=
            PATCH_OK ||
        !bytes_equal(text, bytes, INSN_COMPARE_LENGTH)) {
        return PATCH_ERR_INSTRUCTION;
    }
    return PATCH_OK;
}

/* The run of the sorted table that is @slot's. */
static void slot_attach(struct dynamic_call_slot *slot)
{
    slot->site_count = 0;
    for (struct dynamic_call_site *site = dynamic_call_sites_start; site < dynamic_call_sites_end;
         site++) {
        if (site->slot == slot) {
            slot->sites = slot->site_count++ == 0 ? site : slot->sites;
        }
    }
}

static bool name_is_taken(const struct dynamic_call *call)
{
    return dynamic_call_find(call->name) != call;
}

static void calls_attach(void)
{
    struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        for (uint32_t slot = 0; slot < call->slot_count; slot++) {
            slot_attach(&call->slots[slot]);
        }
    }
}

enum patch_status dynamic_call_initialize(struct patch_error *error)
{
    size_t count = (size_t)(dynamic_call_sites_end - dynamic_call_sites_start);
    const struct dynamic_call *call;

    for (unsigned i = 0; (call = dynamic_call_at(i)) != NULL; i++) {
        if (name_is_taken(call)) {
            return patch_error_set(error, PATCH_ERR_DUPLICATE, call->name, 0);
        }
    }
    heap_sort(dynamic_call_sites_start, count, sizeof(dynamic_call_sites_start[0]), site_before);
    for (size_t i = 0; i < count; i++) {
        enum patch_status status = site_check(&dynamic_call_sites_start[i]);

        if (status != PATCH_OK) {
            return patch_error_set(error, status, NULL, dynamic_call_sites_start[i].address);
        }
    }
    calls_attach();
    return PATCH_OK;
}
