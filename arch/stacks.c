// SPDX-License-Identifier: MIT
/* Kernel stacks; see stacks.h. Invariant: slot n of the region is mapped iff n < slots_used, but
 * for those that are vacant or on the way there; free stacks are linked through their topmost word.
 */

#include "arch/stacks.h"

#include "arch/paging.h"
#include "arch/paravirt.h"
#include "arch/percpu.h"
#include "kernel/page_allocator.h"
#include "kernel/spinlock.h"

#define SLOTS_MAX   (STACK_REGION_SIZE / STACK_SLOT_SIZE)
#define STACK_PAGES (STACK_SIZE / PAGE_SIZE)

extern char boot_stacks[]; /* boot/start.asm: four slots, guard page first */

#define BOOT_STACKS_SIZE (BOOT_STACK_SLOTS * STACK_SLOT_SIZE)

enum { VACANT_MAX = 8 }; /* more than that at a time, and a slot is lost, being addresses alone */

static struct spinlock stack_lock = SPINLOCK("stacks");
/* under stack_lock: */
static uint64_t slots_used;
static uint64_t vacant_slots[VACANT_MAX]; /* tops; below slots_used, but memory was out */
static unsigned vacant_count;
static uint64_t free_top; /* top of the first free stack, 0: none */
static unsigned free_count;

static uint64_t *link_of(uint64_t stack_top)
{
    return (uint64_t *)(stack_top - sizeof(uint64_t));
}

/* Unmaps the first @pages of a stack. Their frames go back when no CPU translates to them any more:
 * a processor may do so for addresses that no program has used yet (Intel SDM volume 3,
 * "Recommended Invalidation"), and the next stack has other frames at these.
 *
 *   CPU 0                                     CPU 1
 *   maps a page to frame F                    looks ahead, keeps page -> F
 *   no memory for the next: unmaps it
 *   page_free(F)                              takes F for its heap
 *   maps the page to frame G, runs on it      runs the thread on F: its heap is overwritten */
static void stack_unmap(uint64_t bottom, unsigned pages)
{
    uint64_t frames[STACK_PAGES];

    for (unsigned i = 0; i < pages; i++) {
        frames[i] = paging_unmap(bottom + i * PAGE_SIZE);
    }
    if (pages != 0 && cpu_count() > 1) {
        pv_tlb_flush_all();
    }
    for (unsigned i = 0; i < pages; i++) {
        page_free(frames[i]);
    }
}

/* Maps the pages of one stack, or nothing. */
static bool stack_map(uint64_t bottom)
{
    for (unsigned page = 0; page < STACK_PAGES; page++) {
        uint64_t frame = page_allocate();

        if (frame == 0 || !paging_map(bottom + page * PAGE_SIZE, frame, 1, PAGING_WRITE)) {
            if (frame != 0) {
                page_free(frame);
            }
            stack_unmap(bottom, page);
            return false;
        }
    }
    return true;
}

/* Takes a free stack, or else a slot to map one in; 0: neither. Returns whether it is a stack. */
static bool stack_take(uint64_t *top)
{
    uint64_t flags = spinlock_lock_save(&stack_lock);
    bool is_mapped = free_top != 0;

    *top = free_top;
    if (is_mapped) {
        free_top = *link_of(free_top);
        free_count--;
    } else if (vacant_count != 0) {
        *top = vacant_slots[--vacant_count];
    } else if (slots_used < SLOTS_MAX) {
        *top = STACK_REGION_BASE + ++slots_used * STACK_SLOT_SIZE;
    }
    spinlock_unlock_restore(&stack_lock, flags);
    return is_mapped;
}

static void slot_give_back(uint64_t top)
{
    uint64_t flags = spinlock_lock_save(&stack_lock);

    if (vacant_count < VACANT_MAX) {
        vacant_slots[vacant_count++] = top;
    }
    spinlock_unlock_restore(&stack_lock, flags);
}

uint64_t stack_allocate(void)
{
    uint64_t top;

    if (!stack_take(&top) && top != 0 && !stack_map(top - STACK_SIZE)) {
        slot_give_back(top);
        return 0;
    }
    return top;
}

void stack_free(uint64_t stack_top)
{
    uint64_t flags = spinlock_lock_save(&stack_lock);

    *link_of(stack_top) = free_top;
    free_top = stack_top;
    free_count++;
    spinlock_unlock_restore(&stack_lock, flags);
}

unsigned stack_cached_count(void)
{
    return __atomic_load_n(&free_count, __ATOMIC_RELAXED);
}

uint64_t stack_boot_top(enum interrupt_stack stack)
{
    return (uint64_t)boot_stacks + ((uint64_t)stack + 1) * STACK_SLOT_SIZE;
}

static bool in_guard(uint64_t base, uint64_t size, uint64_t address)
{
    return address - base < size && (address - base) % STACK_SLOT_SIZE < PAGE_SIZE;
}

bool stack_guard_contains(uint64_t address)
{
    return in_guard((uint64_t)boot_stacks, BOOT_STACKS_SIZE, address) ||
           in_guard(STACK_REGION_BASE, slots_used * STACK_SLOT_SIZE, address);
}
