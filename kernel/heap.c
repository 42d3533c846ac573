// SPDX-License-Identifier: MIT
/* Size classes of powers of two in slabs of one page, larger blocks as runs of pages. Invariant: a
 * page's header says what the page is (slab of a class, or first page of a run), and the bits of
 * its `used` map say which blocks are out. */
#include "kernel/heap.h"

#include "arch/paging.h"
#include "kernel/page_allocator.h"
#include "kernel/panic.h"
#include "kernel/spinlock.h"
#include "kernel/string.h"

#define CACHE_LINE     64
#define HEADER_BYTES   64
#define CLASS_COUNT    6 /* 32, 64, 128, 256, 512, 1024 bytes */
#define CLASS_SMALLEST 32
#define SLAB_MAGIC     0x534c4142u
#define RUN_MAGIC      0x52554e31u

struct heap_page {
    uint32_t magic;
    uint32_t class_or_pages; /* SLAB: size class; RUN: pages in the run */
    uint64_t used[2];        /* SLAB: one bit a block, (4096 - 64) / 32 = 126 at most */
    uint32_t used_count;
    struct heap_page *next; /* SLAB: next slab of the class that has room */
};
_Static_assert(sizeof(struct heap_page) <= HEADER_BYTES, "the header must leave blocks aligned");
_Static_assert(HEADER_BYTES % CACHE_LINE == 0 && 2 * CLASS_SMALLEST % CACHE_LINE == 0,
               "all blocks but the smallest begin with a cache line");

static struct spinlock heap_lock = SPINLOCK("heap");
/* under heap_lock: */
static struct heap_page *slabs_with_room[CLASS_COUNT];
static struct heap_counts counts;

static size_t class_bytes(unsigned class)
{
    return (size_t)CLASS_SMALLEST << class;
}

static unsigned class_capacity(unsigned class)
{
    return (unsigned)((PAGE_SIZE - HEADER_BYTES) / class_bytes(class));
}

static struct heap_page *page_of(const void *block)
{
    return (struct heap_page *)((uint64_t)block & ~(PAGE_SIZE - 1));
}

static struct heap_page *slab_create(unsigned class)
{
    uint64_t physical = page_allocate();
    if (physical == 0) {
        return NULL;
    }
    struct heap_page *slab = physical_to_virtual(physical);
    slab->magic = SLAB_MAGIC;
    slab->class_or_pages = class;
    return slab;
}

static void *slab_take_locked(struct heap_page *slab)
{
    unsigned class = slab->class_or_pages;
    for (unsigned index = 0; index < class_capacity(class); index++) {
        uint64_t bit = 1ull << (index % 64);
        if (!(slab->used[index / 64] & bit)) {
            slab->used[index / 64] |= bit;
            slab->used_count++;
            if (slab->used_count == class_capacity(class)) {
                slabs_with_room[class] = slab->next;
            }
            counts.blocks++;
            return (char *)slab + HEADER_BYTES + index * class_bytes(class);
        }
    }
    panic("heap: the slab at %p has room by its count and none by its map", (void *)slab);
}

static void *small_allocate(unsigned class)
{
    uint64_t flags = spinlock_lock_save(&heap_lock);
    if (slabs_with_room[class] == NULL) {
        spinlock_unlock_restore(&heap_lock, flags);
        struct heap_page *slab = slab_create(class);
        if (slab == NULL) {
            return NULL;
        }
        flags = spinlock_lock_save(&heap_lock);
        slab->next = slabs_with_room[class];
        slabs_with_room[class] = slab;
        counts.pages++;
    }
    void *block = slab_take_locked(slabs_with_room[class]);
    spinlock_unlock_restore(&heap_lock, flags);
    memset(block, 0, class_bytes(class));
    return block;
}

static void *run_allocate(size_t bytes)
{
    size_t pages = (bytes + HEADER_BYTES + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t physical = page_allocate_run(pages);
    if (physical == 0) {
        return NULL;
    }
    struct heap_page *header = physical_to_virtual(physical);
    header->magic = RUN_MAGIC;
    header->class_or_pages = (uint32_t)pages;
    uint64_t flags = spinlock_lock_save(&heap_lock);
    counts.blocks++;
    counts.pages += pages;
    spinlock_unlock_restore(&heap_lock, flags);
    return (char *)header + HEADER_BYTES;
}

void *heap_allocate(size_t bytes)
{
    if (bytes == 0 || bytes > (1ull << 40)) {
        return NULL;
    }
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        if (bytes <= class_bytes(class)) {
            return small_allocate(class);
        }
    }
    return run_allocate(bytes);
}

static void slab_give_locked(struct heap_page *slab, const void *block)
{
    unsigned class = slab->class_or_pages;
    size_t offset = (size_t)((const char *)block - (const char *)slab) - HEADER_BYTES;
    size_t index = offset / class_bytes(class);
    uint64_t bit = 1ull << (index % 64);
    if (offset % class_bytes(class) != 0 || index >= class_capacity(class) ||
        !(slab->used[index / 64] & bit)) {
        panic("heap: freed %p, which is not an allocated block", block);
    }
    if (slab->used_count == class_capacity(class)) {
        slab->next = slabs_with_room[class];
        slabs_with_room[class] = slab;
    }
    slab->used[index / 64] &= ~bit;
    slab->used_count--;
    counts.blocks--;
}

void heap_free(void *block)
{
    if (block == NULL) {
        return;
    }
    struct heap_page *page = page_of(block);
    size_t run_pages = 0;
    uint64_t flags = spinlock_lock_save(&heap_lock);
    if (page->magic == SLAB_MAGIC) {
        slab_give_locked(page, block);
    } else if (page->magic == RUN_MAGIC && (char *)block == (char *)page + HEADER_BYTES) {
        run_pages = page->class_or_pages;
        page->magic = 0;
        counts.blocks--;
        counts.pages -= run_pages;
    } else {
        panic("heap: freed %p, which is not an allocated block", block);
    }
    spinlock_unlock_restore(&heap_lock, flags);
    if (run_pages != 0) {
        page_free_run(virtual_to_physical(page), run_pages);
    }
}

void heap_trim(void)
{
    uint64_t flags = spinlock_lock_save(&heap_lock);
    for (unsigned class = 0; class < CLASS_COUNT; class ++) {
        struct heap_page **link = &slabs_with_room[class];
        while (*link != NULL) {
            struct heap_page *slab = *link;
            if (slab->used_count != 0) {
                link = &slab->next;
                continue;
            }
            *link = slab->next;
            slab->magic = 0;
            counts.pages--;
            page_free(virtual_to_physical(slab));
        }
    }
    spinlock_unlock_restore(&heap_lock, flags);
}

struct heap_counts heap_count(void)
{
    uint64_t flags = spinlock_lock_save(&heap_lock);
    struct heap_counts result = counts;
    spinlock_unlock_restore(&heap_lock, flags);
    return result;
}
