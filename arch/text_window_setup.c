// SPDX-License-Identifier: MIT
/* Page tables of the text window. Invariant: after boot nothing here runs; what writes text is
 * text_window.c, which may not call anything that can be patched. Called by: paging.c. */

#include "arch/page_tables.h"
#include "arch/text_window.h"
#include "kernel/panic.h"
#include "kernel/string.h"

void text_window_initialize(void)
{
    static uint64_t root[TABLE_ENTRIES] __attribute__((aligned(PAGE_SIZE)));

    memcpy(root, kernel_root, sizeof(root));
    text_window_slots = page_entry_find(root, LEVEL_ROOT, LEVEL_PAGE, TEXT_WINDOW_BASE, true);
    if (text_window_slots == NULL) {
        panic("text window: no memory for its page tables");
    }
    text_window_root = root;
}
