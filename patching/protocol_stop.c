// SPDX-License-Identifier: MIT
/* Protocol stop: all other CPUs are parked while the text changes. Invariant: nobody but the
 * patcher executes anything between the first byte written and the last, and each CPU serialises
 * before it executes a site again. Called by: poke.c.
 *
 *     patcher                                   another CPU
 *     stop ------------------------------->     interrupts off, acknowledges, spins
 *     (all have acknowledged; interrupts off)
 *     writes all sites
 *     release ---------------------------->     serialises, goes on: new
 *
 * Whoever is parked loses the whole time, also a CPU that never goes near a site: the price that
 * the int3 protocols were invented to avoid. An NMI may be taken meanwhile; its path holds no
 * site. The patcher itself runs only code without sites while it writes. */
#include "patching/protocol.h"

#include "patching/nopatch.h"
#include "patching/platform.h"
#include "patching/site_write.h"

PATCH_NOPATCH static bool write_all(struct patch_batch *batch, enum site_goal goal)
{
    struct write_window window = {0};
    bool done = true;

    for (uint32_t i = 0; i < batch->count && done; i++) {
        done = site_write(&window, batch, &batch->sites[i], goal, 0, batch->sites[i].length);
    }
    write_window_close(&window);
    return done;
}

/* All that happens while a site may be half written. In .text.nopatch: the entry of any function
 * outside may be the very site. Ends with text closed, and the host's platform_text_close()
 * serialises this CPU: what it runs from then on it fetches anew. */
PATCH_NOPATCH static enum patch_status write_or_put_back(struct patch_batch *batch)
{
    return sites_write_or_put_back(batch, write_all);
}

static enum patch_status stop_apply(struct patch_batch *batch)
{
    struct platform_round round = {0};
    uint64_t start = platform_time_ticks();
    bool all_parked = platform_stop_cpus(&round);

    batch->record.rounds++;
    batch->record.ipis += round.ipis;
    if (!all_parked) {
        batch->error.status = PATCH_ERR_SILENT_CPU;
        batch->error.cpu = round.silent_cpu;
        return PATCH_ERR_SILENT_CPU;
    }

    enum patch_status status = write_or_put_back(batch);

    platform_step_reached(PATCH_STEP_FIRST, PATCH_MOMENT_WRITTEN);
    platform_release_cpus();
    sites_refresh(batch);
    batch->record.step_ns[PATCH_STEP_FIRST] += platform_ticks_to_ns(platform_time_ticks() - start);
    return status;
}

static unsigned stop_count_rounds(const struct patch_batch *batch)
{
    return batch->count > 0;
}

const struct patch_protocol patch_protocol_stop = {
    .facts =
        {
            .name = "stop",
            .rounds = "1",
            .ipis = "c",
            .limits = "any site; every CPU stands still until the last byte is written",
            .summary = "all other CPUs parked with interrupts off, all sites written, released",
        },
    .apply = stop_apply,
    .count_rounds = stop_count_rounds,
};
