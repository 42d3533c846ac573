// SPDX-License-Identifier: MIT
/* Page tables of the kernel. Invariant: no page is writable and executable, and no standing
 * mapping, the direct map included, lets anyone write the frames of text and rodata; all RAM is
 * reachable at DIRECT_MAP_BASE + physical, not executable. Kernel-half top-level entries never
 * change after paging_initialize(), so that every root shares them. Callers: boot order, allocator,
 * drivers. */
#pragma once

#include "arch/stacks.h"
#include "boot/boot_facts.h"

#include <stdbool.h>
#include <stdint.h>

#define PAGE_SIZE          4096ull
#define KERNEL_BASE        0xffffffff80000000ull
#define DIRECT_MAP_LIMIT   (1ull << 39) /* 512 GiB, one top-level entry; RAM above it is not used */
#define DIRECT_MAP_BASE    0xffff800000000000ull
#define STACK_REGION_BASE  0xffffa00000000000ull
#define STACK_REGION_SIZE  (1ull << 30)
#define WINDOW_REGION_BASE 0xffffb00000000000ull
#define WINDOW_REGION_SIZE (1ull << 39)

/* Symbols of linker.ld; addresses only. */
extern char kernel_start[], kernel_end[], text_start[], text_end[], nopatch_start[], nopatch_end[];
extern char rodata_start[], rodata_end[], data_start[], data_end[], bss_start[], bss_end[];

enum paging_flags {
    PAGING_READ = 0,
    PAGING_WRITE = 1 << 0,
    PAGING_EXECUTE = 1 << 1,
    PAGING_UNCACHED = 1 << 2,
};

/* Direct-map address of RAM (or of the early map's first 4 GiB before paging_initialize()). */
static inline void *physical_to_virtual(uint64_t physical)
{
    return (void *)(DIRECT_MAP_BASE + physical);
}

/* Inverse, for direct-map and kernel-image addresses only. */
static inline uint64_t virtual_to_physical(const void *address)
{
    uint64_t value = (uint64_t)address;

    return value >= KERNEL_BASE ? value - KERNEL_BASE : value - DIRECT_MAP_BASE;
}

/* Replaces the early direct map (first 4 GiB, set up by boot/entry.asm) by one of RAM only, of any
 * size. Context: boot CPU, after page_allocator_initialize(), which must give frames below 4 GiB
 * until this returns. Panics without memory. */
void paging_initialize(const struct boot_facts *facts);

/* Maps @pages frames from @physical at @virtual_address (both page aligned) in the kernel half.
 * PAGING_WRITE together with PAGING_EXECUTE is refused. Other CPUs need no shoot-down: nothing was
 * mapped there. Returns false, and has mapped nothing, on a bad argument, an existing mapping or no
 * memory: then only this CPU forgot the pages that were mapped meanwhile; see paging_unmap(). */
bool paging_map(uint64_t virtual_address, uint64_t physical, uint64_t pages, unsigned flags);

/* Removes the mapping of one page and invalidates it on this CPU. Other CPUs may keep stale
 * translations: before the frame or the address serves something else, the caller flushes them all
 * (pv_tlb_flush_all(), as stacks.c does), or never lets that happen (windows: addresses are given
 * out once, frames are not RAM that is allocated). Returns the frame. */
uint64_t paging_unmap(uint64_t virtual_address);

/* Frames taken for page tables so far. They are kept for reuse when what they map
 * goes: a leak check counts them as not leaked, as it does stack_cached_count(). */
unsigned paging_table_count(void);

/* Maps a physical range, any alignment, in the window region: device registers uncached and
 * writable; firmware tables cached and read-only. Never unmapped. Returns NULL without memory or
 * address space, or if the CPU has not as many address lines. */
volatile void *paging_map_device(uint64_t physical, uint64_t size);
const void *paging_map_tables(uint64_t physical, uint64_t size);

/* The address of the page-table root that all CPUs run on, and of the one they start on. */
extern uint64_t kernel_root[512], start_root[512];

/* Walks all page tables and calls @report (may be NULL) for every page that is writable
 * and executable and for every writable page that shows a frame of text or rodata. Returns their
 * number. */
typedef void paging_report(uint64_t virtual_address, uint64_t entry, const char *what);
unsigned paging_check_wx(paging_report *report);
