// SPDX-License-Identifier: MIT
/* The format of x86-64 page tables ("4-Level Paging", Intel SDM volume 3). Invariant: tables are
 * reached through the direct map. For paging.c, paging_check.c, text_window.c and backtrace.c only.
 */
#pragma once

#include "arch/paging.h"

#define ENTRY_PRESENT       (1ull << 0)
#define ENTRY_WRITE         (1ull << 1)
#define ENTRY_WRITE_THROUGH (1ull << 3)
#define ENTRY_CACHE_DISABLE (1ull << 4)
#define ENTRY_LARGE         (1ull << 7)
#define ENTRY_GLOBAL        (1ull << 8)
#define ENTRY_NO_EXECUTE    (1ull << 63)
#define ENTRY_ADDRESS       0x000ffffffffff000ull

#define TABLE_ENTRIES    512u
#define LEVEL_ROOT       4u
#define LEVEL_LARGE_PAGE 2u
#define LEVEL_PAGE       1u

/* The NX bit, or 0 on a CPU without; set by boot/start.asm. */
extern const uint64_t boot_no_execute;

/* Bytes that one entry of a table of @level covers. */
static inline uint64_t level_size(unsigned level)
{
    return PAGE_SIZE << (9 * (level - 1));
}

static inline unsigned level_index(uint64_t virtual_address, unsigned level)
{
    return virtual_address >> (12 + 9 * (level - 1)) & (TABLE_ENTRIES - 1);
}

static inline uint64_t *entry_table(uint64_t entry)
{
    return physical_to_virtual(entry & ENTRY_ADDRESS);
}

/* The entry of level @leaf for @virtual_address below @table of @level; missing tables in between
 * are made if @create. Returns NULL if one is missing, a large page is in the way, or memory is
 * out. */
uint64_t *page_entry_find(uint64_t *table, unsigned level, unsigned leaf, uint64_t virtual_address,
                          bool create);

/* Makes the private root; paging_initialize() only. */
void text_window_initialize(void);
extern uint64_t *text_window_root;

/* Where the window appears: low half, top-level entry 1, in the private root only. */
#define TEXT_WINDOW_BASE (1ull << 39)

/* Its 512 entries: 2 MiB of text from text_start; linker.ld asserts the size. */
extern uint64_t *text_window_slots;
