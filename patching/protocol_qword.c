// SPDX-License-Identifier: MIT
/* Protocol qword: a site inside an aligned quadword is replaced by one store; the others of the
 * batch take the three steps, and so do all but the last ones if some are last. Invariant: a CPU
 * that fetches a site gets the whole old instruction or the whole new one (or int3, where
 * three_steps.c says so). Called by: poke.c.
 *
 *     patcher                                   a CPU that runs through the site
 *     quadword = new instruction + neighbours   old, or new
 *       sync ------------------------------->   new from here on
 *
 * The stores belong to the last of the three steps, so that both kinds share its sync: a mixed
 * batch takes 3 rounds, not 1 + 3.
 *
 * Why a quadword, and aligned: AMD64 Architecture Programmer's Manual, volume 2, "Cross-Modifying
 * Code" (7.6.1), allows asynchronous modification by one store within a naturally aligned quadword
 * if instruction boundaries agree before and after. "Within a cache line" is not enough: a store
 * across a 32-byte boundary has been seen torn by the fetcher. Intel's manuals promise nothing of
 * the kind without the int3: there this protocol rests on measurement (`make silicon`). Where the
 * host says that CPUs do not fetch quadwords whole, every site takes the three steps.
 *
 * Where some sites are last and others are not, the others take the three steps: in one step of
 * stores with one sync behind it nothing keeps a CPU that has fetched the new instruction of a last
 * site from executing the old one of another that it fetched long ago. */
#include "patching/platform.h"
#include "patching/protocol.h"
#include "patching/three_steps.h"

static bool fits_quadword(const struct patch_site *site)
{
    return site->address / sizeof(uint64_t) ==
           (site->address + site->length - 1) / sizeof(uint64_t);
}

static enum patch_status refuse(struct patch_batch *batch, const struct patch_site *site,
                                enum patch_status status)
{
    batch->error.status = status;
    batch->error.address = site->address;
    return status;
}

static enum patch_status qword_prepare(struct patch_batch *batch)
{
    bool fetched_whole =
        platform_quadword_is_fetched_whole() || (batch->flags & PATCH_ALLOW_UNSAFE) != 0;
    bool some_are_last = three_steps_count_last(batch) > 0;

    for (uint32_t i = 0; i < batch->count; i++) {
        struct patch_site *site = &batch->sites[i];

        site->is_quadword =
            fetched_whole && fits_quadword(site) && (site->is_last || !some_are_last);
        if (!site->is_quadword && batch->flags & PATCH_STRICT) {
            return refuse(batch, site, fetched_whole ? PATCH_ERR_QUADWORD : PATCH_ERR_UNSAFE);
        }
        batch->record.quadwords += site->is_quadword;
    }
    return PATCH_OK;
}

static enum patch_status qword_apply(struct patch_batch *batch)
{
    return three_steps_apply(batch, PATCH_BATCH_MAX);
}

static unsigned qword_count_rounds(const struct patch_batch *batch)
{
    return three_steps_count_rounds(batch, PATCH_BATCH_MAX);
}

const struct patch_protocol patch_protocol_qword = {
    .facts =
        {
            .name = "qword",
            .rounds = "1; 3 with sites that do not fit",
            .ipis = "c; 3c",
            .limits = "inside an aligned quadword, else int3-batch; promised by AMD only",
            .summary = "one aligned 8-byte store a site, then one sync",
        },
    .prepare = qword_prepare,
    .apply = qword_apply,
    .count_rounds = qword_count_rounds,
};
