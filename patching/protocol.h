// SPDX-License-Identifier: MIT
/* What a protocol is. A new one is a file protocol_NAME.c, an id in poke.h and a line in the table
 * of poke.c. Invariant: when apply returns, no CPU is in the handler for this batch, and the text
 * is all new (PATCH_OK) or all as before. Called by: poke.c only. */
#pragma once

#include "patching/poke.h"

struct patch_protocol {
    const char *name;
    const char *summary; /* one line for humans */

    /* Changes the text of @batch, which is checked, sorted, indexed and not empty, and in which
     * every site has something to change. Counts rounds, IPIs, bytes and step times in
     * @batch->record. Context: patch lock held, platform_may_patch(). Returns PATCH_OK, or
     * PATCH_ERR_WRITE with @batch->error filled in and the text put back. */
    enum patch_status (*apply)(struct patch_batch *batch);

    /* Returns the sync rounds that apply will take if no write fails. */
    unsigned (*count_rounds)(const struct patch_batch *batch);
};

extern const struct patch_protocol patch_protocol_int3;
extern const struct patch_protocol patch_protocol_int3_batch;
