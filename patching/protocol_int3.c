// SPDX-License-Identifier: MIT
/* Protocols int3 and int3-batch: the three steps, site by site or all sites together. Invariant:
 * see three_steps.c. Called by: poke.c. */
#include "patching/protocol.h"
#include "patching/three_steps.h"

static enum patch_status int3_apply(struct patch_batch *batch)
{
    return three_steps_apply(batch, 1);
}

static unsigned int3_count_rounds(const struct patch_batch *batch)
{
    return three_steps_count_rounds(batch, 1);
}

static enum patch_status int3_batch_apply(struct patch_batch *batch)
{
    return three_steps_apply(batch, PATCH_BATCH_MAX);
}

static unsigned int3_batch_count_rounds(const struct patch_batch *batch)
{
    return three_steps_count_rounds(batch, PATCH_BATCH_MAX);
}

const struct patch_protocol patch_protocol_int3 = {
    .facts =
        {
            .name = "int3",
            .rounds = "3n",
            .ipis = "3nc",
            .limits = "any site",
            .summary = "int3, tail, first byte, a sync after each: one site after the other",
        },
    .apply = int3_apply,
    .count_rounds = int3_count_rounds,
};

const struct patch_protocol patch_protocol_int3_batch = {
    .facts =
        {
            .name = "int3-batch",
            .rounds = "3",
            .ipis = "3c",
            .limits = "any site",
            .summary = "the steps of int3, each over all sites before its sync",
        },
    .apply = int3_batch_apply,
    .count_rounds = int3_batch_count_rounds,
};
