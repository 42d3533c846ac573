// SPDX-License-Identifier: MIT
/* Kernel stacks; see stacks.h. Invariant: slot n of the region is mapped iff n < slots_used; free
 * slots are linked through their topmost word. */

#include "arch/stacks.h"

#include "arch/paging.h"
#include "kernel/page_allocator.h"
#include "kernel/spinlock.h"

#define SLOTS_MAX (STACK_REGION_SIZE / STACK_SLOT_SIZE)

extern char boot_stacks[]; /* boot/start.asm: four slots, guard page first */

#define BOOT_STACKS_SIZE (BOOT_STACK_SLOTS * STACK_SLOT_SIZE)

static struct spinlock stack_lock = SPINLOCK("stacks");
/* under stack_lock: */
static uint64_t slots_used;
static uint64_t free_top; /* top of the first free stack, 0: none */
static unsigned free_count;

static uint64_t *link_of(uint64_t stack_top)
{
    return (uint64_t *)(stack_top - sizeof(uint64_t));
}

/* Maps the pages of one stack, or nothing. */
static bool stack_map(uint64_t bottom)
{
    for (uint64_t offset = 0; offset < STACK_SIZE; offset += PAGE_SIZE) {
        uint64_t frame = page_allocate();

        if (frame == 0 || !paging_map(bottom + offset, frame, 1, PAGING_WRITE)) {
            if (frame != 0) {
                page_free(frame);
            }
            while (offset != 0) {
                offset -= PAGE_SIZE;
                page_free(paging_unmap(bottom + offset));
            }
            return false;
        }
    }
    return true;
}

uint64_t stack_allocate(void)
{
    uint64_t flags = spinlock_lock_save(&stack_lock);
    uint64_t top = free_top;

    if (top != 0) {
        free_top = *link_of(top);
        free_count--;
    } else if (slots_used < SLOTS_MAX) {
        uint64_t slot = STACK_REGION_BASE + slots_used * STACK_SLOT_SIZE;

        if (stack_map(slot + PAGE_SIZE)) {
            slots_used++;
            top = slot + STACK_SLOT_SIZE;
        }
    }
    spinlock_unlock_restore(&stack_lock, flags);
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
