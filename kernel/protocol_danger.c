// SPDX-License-Identifier: MIT
/* Dangers of protocols; see protocol_danger.h. Invariant: see there.
 *
 * qword stands or falls with the fetch: a processor reads the quadword whole. QEMU's TCG translates
 * from memory byte by byte, in a thread of its own for each CPU: the other CPU's store may come
 * between two of these reads, aligned or not. Seen: nop5 0f 1f 44 00 00 turning into jmp
 * e9 04 00 00 00 was executed as 0f 1f 00, 00 00. The protocols with int3 are not concerned: what
 * is behind an int3 is not read, and no translation spans the sync that follows. */
#include "kernel/protocol_danger.h"

#include <stddef.h>

#include "arch/features.h"

const char *protocol_danger(enum patch_protocol_id id)
{
    const struct patch_protocol_facts *facts = patch_protocol_facts(id);

    if (facts != NULL && facts->is_unsafe) {
        return "other CPUs may execute half-written instructions, and old ones long after the flip";
    }
    if (id == PATCH_PROTOCOL_QWORD && cpu_is_emulated()) {
        return "QEMU's TCG fetches byte by byte: other CPUs may execute half an old and half a new "
               "instruction";
    }
    return NULL;
}
