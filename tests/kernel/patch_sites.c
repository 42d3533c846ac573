// SPDX-License-Identifier: MIT
/* Helpers over patch_sites.asm. Invariant: see patch_sites.h. */
#include "tests/kernel/patch_sites.h"

#include "kernel/string.h"
#include "patching/instruction.h"

struct patch_batch test_batch;

void site_encode(struct test *test, uint64_t address, unsigned kind, uint64_t target,
                 uint8_t bytes[PATCH_SITE_LENGTH_MAX])
{
    struct instruction instruction = {
        .kind = (enum instruction_kind)kind, .length = SITE_LENGTH, .target = target};
    EXPECT_EQUAL(test, instruction_encode(&instruction, address, bytes), PATCH_OK);
}

enum patch_status site_patch(struct test *test, uint64_t address, unsigned kind, uint64_t target,
                             struct patch_record *record)
{
    uint8_t old_bytes[PATCH_SITE_LENGTH_MAX];
    uint8_t new_bytes[PATCH_SITE_LENGTH_MAX];
    memcpy(old_bytes, (const void *)address, SITE_LENGTH);
    site_encode(test, address, kind, target, new_bytes);
    patch_batch_initialize(&test_batch, "test site");
    enum patch_status status =
        patch_batch_add(&test_batch, address, old_bytes, new_bytes, SITE_LENGTH);
    if (status == PATCH_OK) {
        status = patch_batch_apply(&test_batch);
    }
    if (record != NULL) {
        *record = test_batch.record;
    }
    return status;
}
