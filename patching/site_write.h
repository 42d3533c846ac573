// SPDX-License-Identifier: MIT
/* Writes to the sites of a batch. Invariant: each write is counted in batch->record, and the first
 * one that does not read back is described in batch->error. Used by: the protocols. */
#pragma once

#include "patching/bytes.h"
#include "patching/instruction.h"
#include "patching/poke.h"
#include "patching/write_window.h"

enum site_goal { SITE_GOAL_NEW, SITE_GOAL_OLD }; /* OLD: putting a failed batch back */

/* The bytes that @site is to have in the end. */
static inline const uint8_t *site_goal_bytes(const struct patch_site *site, enum site_goal goal)
{
    return goal == SITE_GOAL_NEW ? site->new_bytes : site->old_bytes;
}

/* Describes a write to @site that did not read back, in batch->error. Returns false. Called by the
 * functions below. */
bool site_write_failed(struct patch_batch *batch, const struct patch_site *site, uint64_t address,
                       const uint8_t *bytes, size_t length);

static inline bool site_write_counted(struct write_window *window, struct patch_batch *batch,
                                      const struct patch_site *site, size_t first,
                                      const uint8_t *bytes, size_t length)
{
    uint64_t address = site->address + first;

    batch->record.bytes += (uint32_t)length;
    return write_window_write(window, address, bytes, length) ||
           site_write_failed(batch, site, address, bytes, length);
}

/* Writes bytes [@first, @first + @length) of @goal. Returns false if reading back shows others. */
PATCH_MUST_CHECK static inline bool site_write(struct write_window *window,
                                               struct patch_batch *batch,
                                               const struct patch_site *site, enum site_goal goal,
                                               size_t first, size_t length)
{
    return site_write_counted(window, batch, site, first, site_goal_bytes(site, goal) + first,
                              length);
}

/* Writes int3 over the first byte. Returns as site_write(). */
PATCH_MUST_CHECK static inline bool site_write_int3(struct write_window *window,
                                                    struct patch_batch *batch,
                                                    const struct patch_site *site)
{
    static const uint8_t int3 = INSN_INT3;

    return site_write_counted(window, batch, site, 0, &int3, sizeof(int3));
}

/* Writes the aligned quadword that holds the whole of @site, with one store; the bytes around the
 * site keep their values, those of other sites included. Returns as site_write(). */
PATCH_MUST_CHECK bool site_write_quadword(struct write_window *window, struct patch_batch *batch,
                                          const struct patch_site *site, enum site_goal goal);

/* Writes all sites of a batch; returns false, with batch->error filled in, at the first failure. */
typedef bool sites_writer(struct patch_batch *batch, enum site_goal goal);

/* Where @batch->needs_refresh: writes the first byte of every site once more, with no sync. For
 * emulators that translate code and may file a translation of bytes that were overwritten while it
 * was made. After the last sync no such translation is still being made, so this write discards the
 * last of them. (QEMU TCG before 8.1: pages are locked when a translation is filed, not while it is
 * made.) Called by each protocol behind its last sync; before the handler lets go of the batch: a
 * stale int3 may be met by the patcher itself, on its way here. */
void sites_refresh(const struct patch_batch *batch);

/* Stops the machine: a batch that failed could not be put back; @batch->error tells where. */
_Noreturn void site_fatal_not_put_back(const struct patch_batch *batch);

/* Writes the new bytes with @write; if that fails, the old ones. Returns batch->error.status, that
 * of the first failure; stops the machine if putting back fails as well.
 * Inlined, and @write is a constant: no indirect call. Sites are half written here, with no int3 to
 * keep anybody out, and one of them may be the thunk that an indirect call goes through. */
PATCH_MUST_CHECK __attribute__((always_inline)) static inline enum patch_status
sites_write_or_put_back(struct patch_batch *batch, sites_writer *write)
{
    if (!write(batch, SITE_GOAL_NEW)) {
        struct patch_error cause;

        bytes_copy(&cause, &batch->error, sizeof(cause));
        if (!write(batch, SITE_GOAL_OLD)) {
            site_fatal_not_put_back(batch);
        }
        bytes_copy(&batch->error, &cause, sizeof(cause));
    }
    return batch->error.status;
}
