// SPDX-License-Identifier: MIT
/* In the place of patching/static_key.h when net/ is built as a Linux program: a key is its count,
 * looked at by each branch. Invariant: on while the count is not 0. */
#pragma once

#include "patching/status.h"

#include <stdbool.h>
#include <stdint.h>

struct static_key {
    const char *name;
    int32_t count;
};

#define DEFINE_STATIC_KEY_FALSE(key_name) struct static_key key_name = {.name = #key_name}
#define DECLARE_STATIC_KEY(key_name)      extern struct static_key key_name
#define static_branch_unlikely(key)       ((key)->count > 0)

static inline enum patch_status static_key_increment(struct static_key *key)
{
    key->count++;
    return PATCH_OK;
}

static inline enum patch_status static_key_decrement(struct static_key *key)
{
    if (key->count == 0) {
        return PATCH_ERR_NOT_ENABLED;
    }
    key->count--;
    return PATCH_OK;
}
