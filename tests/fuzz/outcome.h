// SPDX-License-Identifier: MIT
/* What a batch left behind, against what model.h expects of it and machine.h has counted: status,
 * culprit, record, text. Invariant: looks, and changes nothing. Called by: fuzz_batch.c. */
#pragma once

#include "tests/fuzz/model.h"

#include <stdint.h>

/* The batch has been refused: for a reason that exists, one of @faults, before anything was
 * touched. */
void outcome_check_refused(const struct patch_batch *batch, const struct model *model,
                           enum patch_status status, uint32_t faults);

/* It has left one record behind number @newest, of what has happened. */
void outcome_check_record(const struct patch_batch *batch, enum patch_status status,
                          uint64_t newest);

/* It had nothing wrong with it: text is new, or something was made to fail, and is as @before. */
void outcome_check_applied(const struct patch_batch *batch, const struct model *model,
                           enum patch_status status, struct model_cost cost, const uint8_t *before);

/* The machine has stopped: it may only if putting back fails, or is too late behind a last site, or
 * the refresh fails, or a CPU is silent too late. */
void outcome_check_stopped(const struct model *model);
