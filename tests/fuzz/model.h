// SPDX-License-Identifier: MIT
/* What a batch must do, worked out the naive way from what poke.h documents: byte maps and plain
 * loops instead of sorting and searching, Zydis instead of our decoder. Where several things are
 * wrong with a batch, any of them may be reported, but no other. Called by: fuzz_batch.c. */
#pragma once

#include "patching/poke.h"

#include <stdbool.h>

struct model_site {
    uint64_t address;
    uint8_t length;
    bool is_last;
    bool has_stand_in;
    uint64_t stand_in;
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
};

struct model {
    unsigned protocol;
    unsigned flags;
    enum patch_status refused; /* an error that sticks */
    uint32_t count;
    bool is_empty; /* no site was ever added */
    struct model_site sites[PATCH_BATCH_MAX];
};

/* What applying costs if nothing goes wrong. */
struct model_cost {
    unsigned sites, quadwords, bytes, rounds;
};

/* By which of the functions of poke.h a site is added. */
enum model_way { MODEL_ADD, MODEL_ADD_LAST, MODEL_ADD_STAND_IN };

/* What that must return; takes the site if that is PATCH_OK. @stand_in: of that way alone. */
enum patch_status model_add(struct model *model, enum model_way way, uint64_t address,
                            const uint8_t *old_bytes, const uint8_t *new_bytes, size_t length,
                            uint64_t stand_in);

/* Everything that is wrong with the batch as the machine now stands: 1 << status each. 0: nothing,
 * it must be accepted. */
uint32_t model_faults(const struct model *model);

/* Aborts unless @error, given for a batch with @model_faults(), is true in its details. */
void model_check_error(const struct model *model, const struct patch_error *error);

/* The cost of a batch without faults. */
struct model_cost model_cost(const struct model *model);

bool model_site_changes(const struct model_site *site);

/* True if some site that changes is last. */
bool model_has_last(const struct model *model);

/* Forgets the sites whose old and new bytes are equal. */
void model_drop_unchanged(struct model *model);

/* Makes @bytes, a copy of the arena, what it is after the batch. */
void model_apply(const struct model *model, uint8_t *bytes);
