// SPDX-License-Identifier: MIT
/* Physical page frames. Invariant: a frame is handed out at most once until it is freed, and a
 * frame that the loader did not call usable RAM is never handed out. Callers: arch/paging.c for
 * page tables and stacks, kernel/heap.c for everything else. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct boot_facts;

struct page_counts {
    size_t total; /* frames of usable RAM above 1 MiB, the kernel image excluded */
    size_t free;
};

/* Takes over the usable RAM of the loader's memory map. Frames below 1 MiB stay out (firmware data,
 * the trampoline of the application processors). Context: boot, one CPU, once. */
void page_allocator_initialize(const struct boot_facts *facts);

/* Returns the physical address of a zeroed frame, lowest first, or 0 when none is left.
 * Context: any but NMI. */
uint64_t page_allocate(void);

/* Returns the physical address of @pages zeroed frames in a row, or 0. Context: any but NMI. */
uint64_t page_allocate_run(size_t pages);

/* Gives back one frame / @pages frames. Freeing what is free, or what was never ours, panics. */
void page_free(uint64_t physical);
void page_free_run(uint64_t physical, size_t pages);

/* Counts now. Taken under the lock, so free <= total. */
struct page_counts page_count(void);

/* Test hook: after @successes more allocations every allocation fails until called with
 * PAGE_FAIL_NEVER. Lets tests/kernel show that running out of memory is a status, not a panic. */
#define PAGE_FAIL_NEVER SIZE_MAX
void page_allocator_fail_after(size_t successes);
