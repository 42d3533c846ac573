// SPDX-License-Identifier: MIT
/* Switches the thunks of indirect branches. Invariant: see indirect_thunk.h; `current` tells the
 * bytes of every site, and is written under the patch lock. Called by: boot, shell, tests. */
#include "patching/indirect_thunk.h"

#include "patching/bytes.h"
#include "patching/instruction.h"

/* Layout shared with indirect_thunk.asm. */
struct indirect_thunk {
    uint64_t address;
    uint64_t targets[MITIGATION_COUNT]; /* where the site goes */
    const char *name;
};
_Static_assert(sizeof(struct indirect_thunk) == 40, "ENTRY_SIZE in indirect_thunk.asm");

extern const struct indirect_thunk indirect_thunks[];

static const struct {
    const char *name;
    enum instruction_kind kind; /* of the site */
} mitigations[MITIGATION_COUNT] = {
    [MITIGATION_RETPOLINE] = {"retpoline", INSTRUCTION_CALL},
    [MITIGATION_LFENCE] = {"lfence", INSTRUCTION_JUMP},
    [MITIGATION_NONE] = {"none", INSTRUCTION_JUMP},
};

/* Atomic, relaxed: it stands for itself. Written under patch lock. */
static uint32_t current = MITIGATION_RETPOLINE;

static bool is_changing; /* under patch lock: a transaction lists the thunks */

enum mitigation mitigation_current(void)
{
    return (enum mitigation)__atomic_load_n(&current, __ATOMIC_RELAXED);
}

static bool mitigation_exists(enum mitigation mitigation)
{
    return (unsigned)mitigation < MITIGATION_COUNT;
}

const char *mitigation_name(enum mitigation mitigation)
{
    return mitigation_exists(mitigation) ? mitigations[mitigation].name : "?";
}

enum mitigation mitigation_find(const char *name)
{
    enum mitigation mitigation = 0;

    while (mitigation < MITIGATION_COUNT && text_compare(mitigations[mitigation].name, name) != 0) {
        mitigation++;
    }
    return mitigation;
}

struct indirect_thunk_site indirect_thunk_site(size_t index)
{
    const struct indirect_thunk *thunk = &indirect_thunks[index];
    struct indirect_thunk_site site = {.name = thunk->name, .address = thunk->address};

    bytes_copy(site.bytes, (const void *)thunk->address, sizeof(site.bytes));
    return site;
}

static enum patch_status site_encode(const struct indirect_thunk *thunk, enum mitigation mitigation,
                                     uint8_t bytes[PATCH_SITE_LENGTH_MAX])
{
    const struct instruction instruction = {
        .kind = mitigations[mitigation].kind,
        .length = INDIRECT_THUNK_SITE_LENGTH,
        .target = thunk->targets[mitigation],
    };

    return instruction_encode(&instruction, thunk->address, bytes);
}

static enum patch_status change_begin(struct patch_change *change)
{
    if (is_changing) {
        return PATCH_ERR_DUPLICATE;
    }
    is_changing = true;
    change->is_there = change->wanted == mitigation_current();
    return PATCH_OK;
}

static enum patch_status sites_queue(const struct patch_change *change, struct patch_batch *batch)
{
    enum mitigation to = (enum mitigation)change->wanted;
    enum patch_status status = mitigation_exists(to) ? PATCH_OK : PATCH_ERR_MITIGATION;

    for (uint64_t i = 0; i < indirect_thunk_count && status == PATCH_OK; i++) {
        const struct indirect_thunk *thunk = &indirect_thunks[i];
        uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
        uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];

        status = site_encode(thunk, mitigation_current(), old_bytes);
        if (status == PATCH_OK) {
            status = site_encode(thunk, to, new_bytes);
        }
        if (status == PATCH_OK) {
            status = patch_batch_add(batch, thunk->address, old_bytes, new_bytes,
                                     INDIRECT_THUNK_SITE_LENGTH);
        }
    }
    return status;
}

static void change_end(struct patch_change *change, bool is_done)
{
    if (is_done) {
        __atomic_store_n(&current, (uint32_t)change->wanted, __ATOMIC_RELAXED);
    }
    is_changing = false;
}

static const struct patch_change_operations operations = {
    .begin = change_begin,
    .queue = sites_queue,
    .end = change_end,
};

struct patch_change mitigation_change_to(enum mitigation mitigation)
{
    return (struct patch_change){
        .operations = &operations, .name = "mitigation", .wanted = (uint64_t)mitigation};
}

/* Never inlined: its return address says who asked. */
__attribute__((noinline)) enum patch_status mitigation_set(enum mitigation mitigation,
                                                           struct patch_error *error)
{
    struct patch_change change = mitigation_change_to(mitigation);

    return patch_change_run(&change, (uint64_t)__builtin_return_address(0), error);
}

enum patch_status mitigation_plan(enum mitigation mitigation, struct patch_plan *plan,
                                  struct patch_error *error)
{
    struct patch_change change = mitigation_change_to(mitigation);

    return patch_change_plan(&change, NULL, NULL, plan, error);
}
