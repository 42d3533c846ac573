// SPDX-License-Identifier: MIT
/* The three steps of a text poke, for protocols made of them. Used by: protocol_int3.c,
 * protocol_qword.c. */
#pragma once

#include "patching/protocol.h"

/* Applies @batch, @group sites at a time, as protocol.h asks of apply. A site marked is_quadword is
 * written whole in the last step and left alone in the others. If some sites are last and some are
 * not, those that are not must not be marked. */
PATCH_MUST_CHECK enum patch_status three_steps_apply(struct patch_batch *batch, uint32_t group);

/* How many of its sites are last. */
uint32_t three_steps_count_last(const struct patch_batch *batch);

/* The rounds that takes: a step that has nothing to write needs no sync. */
unsigned three_steps_count_rounds(const struct patch_batch *batch, uint32_t group);
