// SPDX-License-Identifier: MIT
/* Page tables of the kernel; see paging.h. Invariant: boot/start.asm made the image's own mapping
 * final; this file replaces the early direct map and adds what lies in the stack and window
 * regions. */

#include "arch/page_tables.h"

#include "arch/instructions.h"
#include "kernel/page_allocator.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"

#define CPUID_EXTENDED_MAX  0x80000000u
#define CPUID_ADDRESS_SIZES 0x80000008u

static struct spinlock paging_lock = SPINLOCK("paging");
static uint64_t window_next = WINDOW_REGION_BASE; /* atomic */

static unsigned table_count; /* atomic */

unsigned paging_table_count(void)
{
    return __atomic_load_n(&table_count, __ATOMIC_RELAXED);
}

uint64_t *page_entry_find(uint64_t *table, unsigned level, unsigned leaf, uint64_t virtual_address,
                          bool create)
{
    for (; level > leaf; level--) {
        uint64_t *entry = &table[level_index(virtual_address, level)];

        if (!(*entry & ENTRY_PRESENT)) {
            uint64_t frame = create ? page_allocate() : 0;

            if (frame == 0) {
                return NULL;
            }
            *entry = frame | ENTRY_PRESENT | ENTRY_WRITE;
            __atomic_fetch_add(&table_count, 1, __ATOMIC_RELAXED);
        } else if (*entry & ENTRY_LARGE) {
            return NULL;
        }
        table = entry_table(*entry);
    }
    return &table[level_index(virtual_address, level)];
}

static bool overlaps_read_only(uint64_t start, uint64_t end)
{
    return start < virtual_to_physical(rodata_end) && end > virtual_to_physical(text_start);
}

/* Adds RAM [start, end) to the direct map below @pointers, in large pages wherever permissions
 * allow. */
static void direct_map_add(uint64_t *pointers, uint64_t start, uint64_t end)
{
    const uint64_t large = level_size(LEVEL_LARGE_PAGE);
    uint64_t size;

    for (uint64_t address = start; address < end; address += size) {
        bool is_large = address % large == 0 && end - address >= large &&
                        !overlaps_read_only(address, address + large);
        uint64_t *entry = page_entry_find(pointers, LEVEL_ROOT - 1,
                                          is_large ? LEVEL_LARGE_PAGE : LEVEL_PAGE, address, true);

        if (entry == NULL) {
            panic("paging: no memory for the direct map of 0x%llx", (unsigned long long)address);
        }
        size = is_large ? large : PAGE_SIZE;
        *entry = address | ENTRY_PRESENT | ENTRY_GLOBAL | boot_no_execute |
                 (is_large ? ENTRY_LARGE : 0) |
                 (overlaps_read_only(address, address + size) ? 0 : ENTRY_WRITE);
    }
}

static uint64_t table_allocate(void)
{
    uint64_t frame = page_allocate();

    if (frame == 0) {
        panic("paging: no memory for the kernel's page tables");
    }
    return frame | ENTRY_PRESENT | ENTRY_WRITE;
}

/* Global translations go only when CR4.PGE changes (Intel SDM volume 3, "Operations that Invalidate
 * TLBs and Paging-Structure Caches"); an interrupt between the two writes does no harm. */
void native_tlb_flush_local(void)
{
    uint64_t cr4 = read_cr4();

    if (cr4 & CR4_PAGE_GLOBAL) {
        write_cr4(cr4 & ~CR4_PAGE_GLOBAL);
        write_cr4(cr4);
    } else {
        write_cr3(read_cr3());
    }
}

void paging_initialize(const struct boot_facts *facts)
{
    uint64_t direct = table_allocate();

    for (unsigned i = 0; i < facts->region_count; i++) {
        const struct boot_region *region = &facts->regions[i];

        if (region->kind == REGION_USABLE && region->start < DIRECT_MAP_LIMIT) {
            uint64_t end = region->end < DIRECT_MAP_LIMIT ? region->end : DIRECT_MAP_LIMIT;

            direct_map_add(entry_table(direct), region->start, end);
        }
    }
    kernel_root[level_index(STACK_REGION_BASE, LEVEL_ROOT)] = table_allocate();
    kernel_root[level_index(WINDOW_REGION_BASE, LEVEL_ROOT)] = table_allocate();
    kernel_root[level_index(DIRECT_MAP_BASE, LEVEL_ROOT)] = direct;
    pv_tlb_flush_local(); /* of the early direct map */
    text_window_initialize();
}

static uint64_t entry_flags(unsigned flags)
{
    return ENTRY_PRESENT | ENTRY_GLOBAL | (flags & PAGING_WRITE ? ENTRY_WRITE : 0) |
           (flags & PAGING_EXECUTE ? 0 : boot_no_execute) |
           (flags & PAGING_UNCACHED ? ENTRY_CACHE_DISABLE | ENTRY_WRITE_THROUGH : 0);
}

static bool map_arguments_valid(uint64_t virtual_address, uint64_t physical, unsigned flags)
{
    return (virtual_address | physical) % PAGE_SIZE == 0 && virtual_address >= DIRECT_MAP_BASE &&
           (physical & ~ENTRY_ADDRESS) == 0 &&
           (flags & (PAGING_WRITE | PAGING_EXECUTE)) != (PAGING_WRITE | PAGING_EXECUTE);
}

static bool map_locked(uint64_t virtual_address, uint64_t physical, uint64_t pages, unsigned flags)
{
    for (uint64_t page = 0; page < pages; page++) {
        uint64_t *entry = page_entry_find(kernel_root, LEVEL_ROOT, LEVEL_PAGE,
                                          virtual_address + page * PAGE_SIZE, true);

        if (entry == NULL || (*entry & ENTRY_PRESENT)) {
            while (page-- != 0) {
                paging_unmap(virtual_address + page * PAGE_SIZE);
            }
            return false;
        }
        *entry = (physical + page * PAGE_SIZE) | entry_flags(flags);
    }
    return true;
}

bool paging_map(uint64_t virtual_address, uint64_t physical, uint64_t pages, unsigned flags)
{
    uint64_t interrupts;
    bool mapped;

    if (!map_arguments_valid(virtual_address, physical, flags)) {
        return false;
    }
    interrupts = spinlock_lock_save(&paging_lock);
    mapped = map_locked(virtual_address, physical, pages, flags);
    spinlock_unlock_restore(&paging_lock, interrupts);
    return mapped;
}

uint64_t paging_unmap(uint64_t virtual_address)
{
    uint64_t *entry = page_entry_find(kernel_root, LEVEL_ROOT, LEVEL_PAGE, virtual_address, false);
    uint64_t old;

    if (entry == NULL || !(*entry & ENTRY_PRESENT)) {
        panic("paging: unmapping 0x%llx, which is not mapped", (unsigned long long)virtual_address);
    }
    old = *entry;
    *entry = 0;
    pv_tlb_flush_page(virtual_address);
    return old & ENTRY_ADDRESS;
}

/* The first address beyond what the CPU can put out: set bits above it in an entry would fault. */
static uint64_t physical_limit(void)
{
    struct cpuid_result result;

    cpuid(CPUID_EXTENDED_MAX, 0, &result);
    if (result.eax < CPUID_ADDRESS_SIZES) {
        return 1ull << 36; /* "MAXPHYADDR", Intel SDM volume 3, 4.1.4 */
    }
    cpuid(CPUID_ADDRESS_SIZES, 0, &result);
    return 1ull << (result.eax & 0x3f);
}

/* Maps any physical range in the window region; its addresses are never given out twice. */
static void *window_map(uint64_t physical, uint64_t size, unsigned flags)
{
    uint64_t offset = physical % PAGE_SIZE;
    uint64_t pages = (offset + size + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t base;

    if (size == 0 || size > WINDOW_REGION_SIZE || physical + size < physical ||
        physical + size > physical_limit()) {
        return NULL;
    }
    base = __atomic_fetch_add(&window_next, pages * PAGE_SIZE, __ATOMIC_RELAXED);
    if (base + pages * PAGE_SIZE > WINDOW_REGION_BASE + WINDOW_REGION_SIZE ||
        !paging_map(base, physical - offset, pages, flags)) {
        return NULL;
    }
    return (void *)(base + offset);
}

volatile void *paging_map_device(uint64_t physical, uint64_t size)
{
    return window_map(physical, size, PAGING_WRITE | PAGING_UNCACHED);
}

const void *paging_map_tables(uint64_t physical, uint64_t size)
{
    return window_map(physical, size, PAGING_READ);
}
