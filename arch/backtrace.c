// SPDX-License-Identifier: MIT
/* Return addresses of a kernel stack; see backtrace.h. Invariant: .text.nopatch; looks an address
 * up in the page tables before it reads there. */

#include "arch/backtrace.h"

#include "arch/page_tables.h"
#include "arch/stacks.h"

extern char boot_stacks[];

static bool in_stack_area(uint64_t address)
{
    return address - (uint64_t)boot_stacks < BOOT_STACK_SLOTS * STACK_SLOT_SIZE ||
           address - STACK_REGION_BASE < STACK_REGION_SIZE;
}

static bool is_mapped(uint64_t address)
{
    const uint64_t *table = kernel_root;
    uint64_t entry;

    for (unsigned level = LEVEL_ROOT;; level--) {
        entry = table[level_index(address, level)];
        if (!(entry & ENTRY_PRESENT) || level == LEVEL_PAGE) {
            return entry & ENTRY_PRESENT;
        }
        table = entry_table(entry); /* no large pages in the stack areas */
    }
}

static bool word_is_readable(uint64_t address)
{
    return address % sizeof(uint64_t) == 0 && in_stack_area(address) && is_mapped(address);
}

unsigned backtrace_walk(uint64_t frame_pointer, uint64_t *addresses, unsigned limit)
{
    unsigned count = 0;

    while (count < limit && word_is_readable(frame_pointer) &&
           word_is_readable(frame_pointer + sizeof(uint64_t))) {
        const uint64_t *frame = (const uint64_t *)frame_pointer;

        if (frame[1] == 0) {
            break;
        }
        addresses[count++] = frame[1];
        frame_pointer = frame[0];
    }
    return count;
}
