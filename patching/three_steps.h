// SPDX-License-Identifier: MIT
/* The three steps of a text poke, for protocols made of them. Used by: protocol_int3.c,
 * protocol_qword.c. */
#pragma once

#include "patching/protocol.h"

/* Applies @batch, @group sites at a time, as protocol.h asks of apply. A site marked is_quadword is
 * written whole in the last step and left alone in the others. */
PATCH_MUST_CHECK enum patch_status three_steps_apply(struct patch_batch *batch, uint32_t group);

/* The rounds that takes: a step that has nothing to write needs no sync. */
unsigned three_steps_count_rounds(const struct patch_batch *batch, uint32_t group);
