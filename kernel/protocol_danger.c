// SPDX-License-Identifier: MIT
/* Dangers of protocols; see protocol_danger.h. qword stands or falls with the fetch:
 * platform_quadword_is_fetched_whole() in patch_platform.c says what an emulator does. */
#include "kernel/protocol_danger.h"

#include <stddef.h>

#include "patching/platform.h"

const char *protocol_danger(enum patch_protocol_id id)
{
    const struct patch_protocol_facts *facts = patch_protocol_facts(id);

    if (facts != NULL && facts->is_unsafe) {
        return "other CPUs may execute half-written instructions, and old ones long after the flip";
    }
    if (id == PATCH_PROTOCOL_QWORD && !platform_quadword_is_fetched_whole()) {
        return "QEMU's TCG fetches byte by byte: other CPUs may execute half an old and half a new "
               "instruction";
    }
    return NULL;
}
