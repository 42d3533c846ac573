// SPDX-License-Identifier: MIT
/* The words for every status. Invariant: one for each. Called by: whoever tells a human. */
#include "patching/status.h"

const char *patch_status_text(enum patch_status status)
{
    static const char *const texts[PATCH_STATUS_COUNT] = {
        [PATCH_OK] = "ok",
        [PATCH_ERR_INSTRUCTION] = "not an instruction that may be patched",
        [PATCH_ERR_LENGTH] = "no such instruction of that length",
        [PATCH_ERR_RANGE] = "target out of reach",
        [PATCH_ERR_EMPTY] = "nothing to patch",
        [PATCH_ERR_FULL] = "too many sites for one batch",
        [PATCH_ERR_DUPLICATE] = "listed twice",
        [PATCH_ERR_OVERLAP] = "overlaps another site",
        [PATCH_ERR_NOT_TEXT] = "not patchable text",
        [PATCH_ERR_UNEXPECTED] = "current bytes differ from the expected ones",
        [PATCH_ERR_TARGET_IN_SITE] = "target lies inside a site",
        [PATCH_ERR_PROTOCOL] = "unknown protocol or flag",
        [PATCH_ERR_CONTEXT] = "text cannot be patched from this context",
        [PATCH_ERR_WRITE] = "write did not read back; text was put back",
        [PATCH_ERR_SILENT_CPU] = "a CPU does not answer; text was put back",
        [PATCH_ERR_UNSAFE] = "protocol is unsafe: CPUs may execute half-written instructions",
        [PATCH_ERR_QUADWORD] = "site cannot be written whole by one aligned quadword",
        [PATCH_ERR_IN_USE] = "key has more than one user",
        [PATCH_ERR_NOT_ENABLED] = "key has no user",
        [PATCH_ERR_OVERFLOW] = "key has too many users",
        [PATCH_ERR_NO_TARGET] = "the call cannot be without a target",
        [PATCH_ERR_NOT_INITIALIZED] = "not initialized yet",
        [PATCH_ERR_MITIGATION] = "unknown mitigation",
        [PATCH_ERR_SHAPE] = "unknown shape, or an image that is not aligned",
        [PATCH_ERR_NO_SLOT] = "the dispatcher is full; the program runs through its fallback",
        [PATCH_ERR_NO_ENTRY] = "not in the dispatcher",
        [PATCH_ERR_STILL_INSIDE] = "done, but a thread may still be in what was removed",
        [PATCH_ERR_OWNED] = "the key is part of something else, which alone flips it",
        [PATCH_ERR_TARGETS] = "a target stands there twice, or there are more than slots",
        [PATCH_ERR_NOT_LEFT] = "a thread does not leave the code that is to go away",
    };

    return (unsigned)status < PATCH_STATUS_COUNT ? texts[status] : "unknown status";
}
