// SPDX-License-Identifier: MIT
/* Protocol naive: plain byte stores, no int3, no sync: what must not be done, kept to show what
 * then happens. It keeps no invariant but "the text ends up new, or as before": a CPU may execute
 * any mixture of old and new bytes, and old ones long after the batch returned. Called by: poke.c,
 * only for batches with PATCH_ALLOW_UNSAFE. */
#include "patching/protocol.h"

#include "patching/platform.h"
#include "patching/site_write.h"

/* Each byte is a write of its own, and the text is closed before each moment a test may look at. */
static bool site_run(struct patch_batch *batch, const struct patch_site *site, enum site_goal goal)
{
    for (size_t i = 0; i < site->length; i++) {
        struct write_window window = {0};
        bool done = site_write(&window, batch, site, goal, i, 1);

        write_window_close(&window);
        if (!done) {
            return false;
        }
        if (i + 1 < site->length) {
            platform_step_reached(PATCH_STEP_FIRST, PATCH_MOMENT_WITHIN);
        }
    }
    return true;
}

static bool write_all(struct patch_batch *batch, enum site_goal goal)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        if (!site_run(batch, &batch->sites[i], goal)) {
            return false;
        }
    }
    return true;
}

static enum patch_status naive_apply(struct patch_batch *batch)
{
    uint64_t start = platform_time_ticks();
    enum patch_status status = sites_write_or_put_back(batch, write_all);

    platform_step_reached(PATCH_STEP_FIRST, PATCH_MOMENT_WRITTEN);
    sites_refresh(batch);
    batch->record.step_ns[PATCH_STEP_FIRST] += platform_ticks_to_ns(platform_time_ticks() - start);
    return status;
}

static unsigned naive_count_rounds(const struct patch_batch *batch)
{
    (void)batch;
    return 0;
}

const struct patch_protocol patch_protocol_naive = {
    .facts =
        {
            .name = "naive",
            .rounds = "0",
            .ipis = "0",
            .limits = "WRONG: CPUs may execute half-written instructions; needs --unsafe",
            .summary = "byte after byte, no int3, no sync",
            .is_unsafe = true,
        },
    .apply = naive_apply,
    .count_rounds = naive_count_rounds,
};
