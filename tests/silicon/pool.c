// SPDX-License-Identifier: MIT
/* Sites for the measurements; see measure.h. */
#include "tests/silicon/measure.h"

#include "patching/platform.h"

static struct live_site sites[LIVE_PLACEMENTS][POOL_SITES];
static struct patch_batch batch;

const struct live_site *pool_sites(enum live_placement placement)
{
    return sites[placement];
}

const char *pool_initialize(void)
{
    const char *why_not = live_sites_initialize();
    unsigned splits = live_form_detecting->length - 1u;

    for (unsigned placement = 0; why_not == NULL && placement < LIVE_PLACEMENTS; placement++) {
        for (unsigned i = 0; why_not == NULL && i < POOL_SITES; i++) {
            if (!live_site_make(&sites[placement][i], live_form_detecting, placement,
                                1 + i % splits)) {
                why_not = "the arena of generated code is too small";
            }
        }
    }
    return why_not;
}

const struct patch_batch *pool_flip(const struct live_site *some, size_t count, unsigned state,
                                    enum patch_protocol_id protocol)
{
    enum patch_status status = PATCH_OK;

    patch_batch_initialize(&batch, "silicon");
    batch.protocol = protocol;
    batch.flags = PATCH_ALLOW_UNSAFE;
    for (size_t i = 0; i < count && status == PATCH_OK; i++) {
        status = live_site_add(&batch, &some[i], state);
    }
    if (status == PATCH_OK) {
        status = patch_batch_apply(&batch);
    }
    if (status != PATCH_OK) {
        platform_fatal(patch_status_text(status), (const void *)batch.error.address, 0, status);
    }
    return &batch;
}
