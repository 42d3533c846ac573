// SPDX-License-Identifier: MIT
/* See lazy_site.h. Called by: lazy_call.c, lazy_change.c. */
#include "patching/lazy_site.h"

#include "patching/instruction.h"

static struct lazy_site sites[LAZY_SITE_SLOTS];
static unsigned site_count; /* atomic; written under the patch lock */

/* Where the search for @address begins: the upper bits of a product with 2^64 / golden ratio. */
static unsigned hash(uint64_t address)
{
    return (unsigned)((address * 0x9e3779b97f4a7c15ull) >> 52) % LAZY_SITE_SLOTS;
}

/* The slot that holds @address, or the empty one where it would go. */
static struct lazy_site *slot_of(uint64_t address)
{
    for (unsigned i = hash(address);; i = (i + 1) % LAZY_SITE_SLOTS) {
        /* Acquire: pairs with the release in lazy_site_obtain(): the entry is whole. */
        uint64_t there = __atomic_load_n(&sites[i].address, __ATOMIC_ACQUIRE);

        if (there == address || there == 0) {
            return &sites[i];
        }
    }
}

enum lazy_site_state lazy_site_state(uint64_t address)
{
    struct lazy_site *site = slot_of(address);

    /* Looked at again: an empty slot may just have been given to another site. */
    if (__atomic_load_n(&site->address, __ATOMIC_ACQUIRE) != address) {
        return LAZY_SITE_UNKNOWN;
    }
    return (enum lazy_site_state)__atomic_load_n(&site->state, __ATOMIC_RELAXED);
}

bool lazy_sites_are_full(void)
{
    return __atomic_load_n(&site_count, __ATOMIC_RELAXED) >= LAZY_SITES_MAX;
}

struct lazy_site *lazy_site_obtain(uint64_t address, struct lazy_call *call)
{
    struct lazy_site *site = slot_of(address);

    if (site->address == address) {
        return site;
    }
    if (lazy_sites_are_full()) {
        return NULL;
    }
    __atomic_store_n(&site_count, site_count + 1, __ATOMIC_RELAXED);
    site->call = call;
    __atomic_store_n(&site->address, address, __ATOMIC_RELEASE);
    return site;
}

void lazy_site_set_state(struct lazy_site *site, enum lazy_site_state state)
{
    __atomic_store_n(&site->state, (uint8_t)state, __ATOMIC_RELAXED);
}

struct lazy_site *lazy_site_at(unsigned index)
{
    return __atomic_load_n(&sites[index].address, __ATOMIC_ACQUIRE) != 0 ? &sites[index] : NULL;
}

enum patch_status lazy_site_encode(uint64_t address, uint64_t target, uint8_t *bytes)
{
    struct instruction call = {
        .kind = INSTRUCTION_CALL, .length = INSN_CALL32_LENGTH, .target = target};

    return instruction_encode(&call, address, bytes);
}

enum patch_status lazy_site_queue(uint64_t address, uint64_t from, uint64_t to,
                                  struct patch_batch *batch)
{
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    enum patch_status status = lazy_site_encode(address, from, old_bytes);

    if (status == PATCH_OK) {
        status = lazy_site_encode(address, to, new_bytes);
    }
    if (status == PATCH_OK) {
        status = patch_batch_add(batch, address, old_bytes, new_bytes, INSN_CALL32_LENGTH);
    }
    return status;
}
