// SPDX-License-Identifier: MIT
/* Counted writes to sites. Invariant: see site_write.h. Called by: three_steps.c,
 * protocol_stop.c, protocol_naive.c. */
#include "patching/site_write.h"

#include "patching/bytes.h"
#include "patching/platform.h"

bool site_write_failed(struct patch_batch *batch, const struct patch_site *site, uint64_t address,
                       const uint8_t *bytes, size_t length)
{
    batch->error.status = PATCH_ERR_WRITE;
    batch->error.address = site->address;
    batch->error.length = (uint8_t)length;
    bytes_copy(batch->error.expected, bytes, length);
    bytes_copy(batch->error.actual, (const void *)address, length);
    return false;
}

bool site_write_quadword(struct write_window *window, struct patch_batch *batch,
                         const struct patch_site *site, enum site_goal goal)
{
    const uint8_t *bytes = site_goal_bytes(site, goal);
    uint64_t start = site->address & ~(uint64_t)(sizeof(uint64_t) - 1);
    unsigned shift = 8 * (unsigned)(site->address - start);
    uint64_t mask = ((1ull << 8 * site->length) - 1) << shift;
    /* Nobody else writes text meanwhile: the patch lock is held. */
    uint64_t around = bytes_pack((const void *)start, sizeof(around)) & ~mask;
    uint64_t value = around | bytes_pack(bytes, site->length) << shift;

    batch->record.bytes += sizeof(value);
    return write_window_write_quadword(window, start, value) ||
           site_write_failed(batch, site, site->address, bytes, site->length);
}

void site_fatal_not_put_back(const struct patch_batch *batch)
{
    const struct patch_error *error = &batch->error;

    platform_fatal("text could be neither patched nor put back", (const void *)error->address,
                   bytes_pack(error->expected, error->length),
                   bytes_pack(error->actual, error->length));
}

void sites_refresh(const struct patch_batch *batch)
{
    struct write_window window = {0};

    for (uint32_t i = 0; batch->needs_refresh && i < batch->count; i++) {
        const struct patch_site *site = &batch->sites[i];
        uint8_t first = *(const uint8_t *)site->address;

        if (!write_window_write(&window, site->address, &first, sizeof(first))) {
            platform_fatal("text changed while it was refreshed", (const void *)site->address,
                           first, *(const uint8_t *)site->address);
        }
    }
    write_window_close(&window);
}
