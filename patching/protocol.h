// SPDX-License-Identifier: MIT
/* What a protocol is. A new one is a file protocol_NAME.c, an id in poke.h and a line in the table
 * of poke.c. Invariant: when apply returns, no CPU is in the handler for this batch, and the text
 * is all new (PATCH_OK) or all as before. Called by: poke.c only. */
#pragma once

#include "patching/poke.h"

struct patch_protocol {
    struct patch_protocol_facts facts;

    /* NULL, or: checks and marks the sites of @batch, which is checked otherwise, sorted, and in
     * which every site has something to change. Returns PATCH_OK, or why the batch is refused, with
     * @batch->error filled in. Context: as apply. */
    enum patch_status (*prepare)(struct patch_batch *batch);

    /* Changes the text of @batch, which is prepared, indexed and not empty. Counts rounds, IPIs,
     * bytes and step times in @batch->record. Context: patch lock held, platform_may_patch().
     * Returns PATCH_OK, or PATCH_ERR_WRITE or PATCH_ERR_SILENT_CPU with @batch->error filled in and
     * the text put back. */
    enum patch_status (*apply)(struct patch_batch *batch);

    /* Returns the rounds that apply will take if nothing fails. Context: as apply. */
    unsigned (*count_rounds)(const struct patch_batch *batch);
};

extern const struct patch_protocol patch_protocol_int3;
extern const struct patch_protocol patch_protocol_int3_batch;
extern const struct patch_protocol patch_protocol_qword;
extern const struct patch_protocol patch_protocol_stop;
extern const struct patch_protocol patch_protocol_naive;
