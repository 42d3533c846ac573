// SPDX-License-Identifier: MIT
/* Proof by inspection that W^X holds; see paging_check_wx(). Invariant: judges effective
 * permissions, the AND of all levels, of every page of every root. Called by the kernel's tests. */

#include "arch/page_tables.h"

struct walk {
    paging_report *report;
    unsigned violations;
};

static void check_leaf(struct walk *walk, uint64_t virtual_address, uint64_t entry, unsigned level,
                       bool writable, bool executable)
{
    uint64_t physical = entry & ENTRY_ADDRESS & ~(level_size(level) - 1);
    const char *what = NULL;

    if (writable && executable) {
        what = "writable and executable";
    } else if (writable && physical < virtual_to_physical(rodata_end) &&
               physical + level_size(level) > virtual_to_physical(text_start)) {
        what = "writable alias of text or rodata";
    }
    if (what != NULL) {
        walk->violations++;
        if (walk->report != NULL) {
            walk->report(virtual_address, entry, what);
        }
    }
}

static void check_table(struct walk *walk, const uint64_t *table, unsigned level, uint64_t base,
                        bool writable, bool executable)
{
    for (uint64_t i = 0; i < TABLE_ENTRIES; i++) {
        uint64_t entry = table[i];
        uint64_t address = base + i * level_size(level);
        bool write = writable && (entry & ENTRY_WRITE);
        bool execute = executable && !(entry & ENTRY_NO_EXECUTE);

        if (!(entry & ENTRY_PRESENT)) {
            continue;
        }
        if (level == LEVEL_ROOT && i >= TABLE_ENTRIES / 2) {
            address |= 0xffffull << 48; /* canonical form of the kernel half */
        }
        if (level == LEVEL_PAGE || (entry & ENTRY_LARGE)) {
            check_leaf(walk, address, entry, level, write, execute);
        } else {
            check_table(walk, entry_table(entry), level - 1, address, write, execute);
        }
    }
}

unsigned paging_check_wx(paging_report *report)
{
    struct walk walk = {report, 0};

    check_table(&walk, kernel_root, LEVEL_ROOT, 0, true, true);
    check_table(&walk, start_root, LEVEL_ROOT, 0, true, true);
    check_table(&walk, text_window_root, LEVEL_ROOT, 0, true, true);
    return walk.violations;
}
