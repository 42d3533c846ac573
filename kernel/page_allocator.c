// SPDX-License-Identifier: MIT
/* Bitmap page allocator: one bit a frame, set while in use. Invariant: bits outside usable RAM are
 * set for ever, so the search needs no second table. A bitmap and not a buddy system: 16 GB need
 * 512 KiB, runs are rare and short, and the whole state can be read in a debugger. */
#include "kernel/page_allocator.h"

#include "arch/paging.h"
#include "boot/boot_facts.h"
#include "kernel/log.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"

#define LOW_MEMORY_END 0x100000ull
#define EARLY_MAP_END  0x100000000ull /* boot tables map the first 4 GiB: the bitmap lies there */
#define BITS_PER_WORD  64

static struct spinlock page_lock = SPINLOCK("pages");
/* under page_lock: */
static uint64_t *used_bitmap;
static size_t frame_limit;     /* frames covered by the bitmap */
static size_t first_free_hint; /* no free frame below this word */
static size_t free_frames;
static size_t allocations_left = PAGE_FAIL_NEVER;
/* written once at boot: */
static size_t total_frames;

static uint64_t kernel_physical_end(void)
{
    return ((uint64_t)kernel_end - KERNEL_BASE + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
}

static bool frame_is_used(size_t frame)
{
    return (used_bitmap[frame / BITS_PER_WORD] >> (frame % BITS_PER_WORD)) & 1;
}

static void frames_set_used(size_t first, size_t count, bool used)
{
    for (size_t frame = first; frame < first + count; frame++) {
        uint64_t bit = 1ull << (frame % BITS_PER_WORD);
        uint64_t *word = &used_bitmap[frame / BITS_PER_WORD];
        if (frame % BITS_PER_WORD == 0 && first + count - frame >= BITS_PER_WORD) {
            *word = used ? ~0ull : 0; /* a whole word at a time: 16 GB are 4 million frames */
            frame += BITS_PER_WORD - 1;
        } else {
            *word = used ? *word | bit : *word & ~bit;
        }
    }
}

/* The part of a usable region that may be handed out: whole pages above 1 MiB and above the image
 * when the region holds it. Returns false if nothing is left. */
static bool region_bounds(const struct boot_region *region, uint64_t *base, uint64_t *end)
{
    if (region->kind != REGION_USABLE) {
        return false;
    }
    *base = region->start;
    *end = region->end < DIRECT_MAP_LIMIT ? region->end : DIRECT_MAP_LIMIT;
    if (*base < LOW_MEMORY_END) {
        *base = LOW_MEMORY_END;
    }
    uint64_t image_start = (uint64_t)kernel_start - KERNEL_BASE;
    if (*base < kernel_physical_end() && *end > image_start) {
        *base = kernel_physical_end();
    }
    return *base < *end;
}

/* Finds room for the bitmap at the start of the first region that can hold it. */
static uint64_t bitmap_place(const struct boot_facts *facts, size_t bytes)
{
    for (unsigned i = 0; i < facts->region_count; i++) {
        uint64_t base, end;
        if (region_bounds(&facts->regions[i], &base, &end) && end - base >= bytes &&
            base + bytes <= EARLY_MAP_END) {
            return base;
        }
    }
    panic("pages: no usable memory region below 4 GiB holds the %zu-byte page bitmap", bytes);
}

void page_allocator_initialize(const struct boot_facts *facts)
{
    uint64_t limit = 0;
    for (unsigned i = 0; i < facts->region_count; i++) {
        uint64_t base, end;
        if (region_bounds(&facts->regions[i], &base, &end) && end > limit) {
            limit = end;
        }
    }
    if (limit == 0) {
        panic("pages: the loader's memory map names no usable memory above 1 MiB");
    }
    frame_limit = (limit / PAGE_SIZE + BITS_PER_WORD - 1) & ~(size_t)(BITS_PER_WORD - 1);
    size_t bitmap_bytes = (frame_limit / 8 + PAGE_SIZE - 1) & ~(PAGE_SIZE - 1);
    uint64_t bitmap = bitmap_place(facts, bitmap_bytes);
    used_bitmap = physical_to_virtual(bitmap);
    memset(used_bitmap, 0xff, bitmap_bytes);

    for (unsigned i = 0; i < facts->region_count; i++) {
        uint64_t base, end;
        if (!region_bounds(&facts->regions[i], &base, &end)) {
            continue;
        }
        if (base == bitmap) {
            base += bitmap_bytes;
        }
        frames_set_used(base / PAGE_SIZE, (end - base) / PAGE_SIZE, false);
        free_frames += (end - base) / PAGE_SIZE;
    }
    total_frames = free_frames;
}

/* Finds @count free frames in a row, or returns frame_limit. */
static size_t frames_find_locked(size_t count)
{
    size_t run = 0;
    for (size_t frame = first_free_hint * BITS_PER_WORD; frame < frame_limit; frame++) {
        if (frame % BITS_PER_WORD == 0 && used_bitmap[frame / BITS_PER_WORD] == ~0ull) {
            run = 0;
            frame += BITS_PER_WORD - 1;
            continue;
        }
        run = frame_is_used(frame) ? 0 : run + 1;
        if (run == count) {
            return frame + 1 - count;
        }
    }
    return frame_limit;
}

static bool allocation_may_succeed_locked(void)
{
    if (allocations_left == PAGE_FAIL_NEVER) {
        return true;
    }
    if (allocations_left == 0) {
        return false;
    }
    allocations_left--;
    return true;
}

uint64_t page_allocate_run(size_t pages)
{
    uint64_t physical = 0;
    uint64_t flags = spinlock_lock_save(&page_lock);
    if (pages != 0 && pages <= free_frames && allocation_may_succeed_locked()) {
        size_t frame = frames_find_locked(pages);
        if (frame < frame_limit) {
            frames_set_used(frame, pages, true);
            free_frames -= pages;
            physical = frame * PAGE_SIZE;
            if (pages == 1) {
                first_free_hint = frame / BITS_PER_WORD;
            }
        }
    }
    spinlock_unlock_restore(&page_lock, flags);
    if (physical != 0) {
        memset(physical_to_virtual(physical), 0, pages * PAGE_SIZE);
    }
    return physical;
}

uint64_t page_allocate(void)
{
    return page_allocate_run(1);
}

void page_free_run(uint64_t physical, size_t pages)
{
    size_t first = physical / PAGE_SIZE;
    uint64_t flags = spinlock_lock_save(&page_lock);
    for (size_t frame = first; frame < first + pages; frame++) {
        if (physical % PAGE_SIZE != 0 || frame >= frame_limit || !frame_is_used(frame)) {
            panic("pages: freed 0x%llx, which is not an allocated frame", frame * PAGE_SIZE);
        }
    }
    frames_set_used(first, pages, false);
    free_frames += pages;
    if (first / BITS_PER_WORD < first_free_hint) {
        first_free_hint = first / BITS_PER_WORD;
    }
    spinlock_unlock_restore(&page_lock, flags);
}

void page_free(uint64_t physical)
{
    page_free_run(physical, 1);
}

struct page_counts page_count(void)
{
    uint64_t flags = spinlock_lock_save(&page_lock);
    struct page_counts counts = {.total = total_frames, .free = free_frames};
    spinlock_unlock_restore(&page_lock, flags);
    return counts;
}

void page_allocator_fail_after(size_t successes)
{
    uint64_t flags = spinlock_lock_save(&page_lock);
    allocations_left = successes;
    spinlock_unlock_restore(&page_lock, flags);
}
