// SPDX-License-Identifier: MIT
/* Private temporary mapping of text; see text_window.h. Invariant: outside open..close no entry of
 * the window is present, and text page n is only ever shown at slot n, so a translation is never
 * stale. .text.nopatch whole (partial.ld): it runs while the entry of any function may be half
 * written. */

#include "arch/text_window.h"

#include "arch/instructions.h"
#include "arch/page_tables.h"
#include "kernel/panic.h"

/* written once at boot, by text_window_initialize(): */
uint64_t *text_window_root;
uint64_t *text_window_slots;

/* under the patch lock, while open: */
static uint64_t saved_flags;
static bool is_open;
static uint64_t touched[TABLE_ENTRIES / 64]; /* bit per slot */

void text_window_open(void)
{
    uint64_t flags = raw_interrupts_save();

    if (is_open) {
        panic("text window: opened twice");
    }
    is_open = true;
    saved_flags = flags;
    write_cr3(virtual_to_physical(text_window_root));
}

static void slot_map(uint64_t slot)
{
    text_window_slots[slot] = (virtual_to_physical(text_start) + slot * PAGE_SIZE) | ENTRY_PRESENT |
                              ENTRY_WRITE | boot_no_execute;
    touched[slot / 64] |= 1ull << slot % 64;
}

static inline void slot_touch(uint64_t slot)
{
    if (!(text_window_slots[slot] & ENTRY_PRESENT)) {
        slot_map(slot);
    }
}

/* An unaligned word, whatever type the memory has. */
struct four_bytes {
    uint32_t value;
} __attribute__((packed, may_alias));

_Noreturn static void refuse_write(const void *text_address, size_t length)
{
    panic("text window: write of %zu bytes at %p: window closed or not text", length, text_address);
}

/* Four bytes by one store, the others one by one: no caller needs more, most tails are four. */
bool text_window_write(void *text_address, const void *bytes, size_t length)
{
    uint64_t offset = (uint64_t)text_address - (uint64_t)text_start;
    uint64_t size = (uint64_t)(text_end - text_start);
    volatile uint8_t *alias = (volatile uint8_t *)(TEXT_WINDOW_BASE + offset);
    const volatile uint8_t *text = text_address;
    const uint8_t *source = bytes;
    bool is_written = true;

    if (!is_open || length == 0 || offset >= size || length > size - offset) {
        refuse_write(text_address, length);
    }
    slot_touch(offset / PAGE_SIZE);
    slot_touch((offset + length - 1) / PAGE_SIZE);
    if (length >= sizeof(struct four_bytes)) {
        uint32_t four = ((const struct four_bytes *)source)->value;

        ((volatile struct four_bytes *)alias)->value = four;
        is_written = ((const volatile struct four_bytes *)text)->value == four;
        alias += sizeof(four);
        text += sizeof(four);
        source += sizeof(four);
        length -= sizeof(four);
    }
    for (size_t i = 0; i < length; i++) {
        alias[i] = source[i];
        is_written &= text[i] == source[i];
    }
    return is_written;
}

bool text_window_write_quadword(uint64_t *text_address, uint64_t value)
{
    uint64_t offset = (uint64_t)text_address - (uint64_t)text_start;
    uint64_t size = (uint64_t)(text_end - text_start);

    if (!is_open || offset % sizeof(value) != 0 || offset > size - sizeof(value)) {
        panic("text window: quadword at %p: window closed, not aligned or not text",
              (void *)text_address);
    }
    slot_touch(offset / PAGE_SIZE);
    /* One store; volatile keeps it one. Pairs with the instruction fetch of the other CPUs. */
    *(volatile uint64_t *)(TEXT_WINDOW_BASE + offset) = value;
    return *(volatile uint64_t *)text_address == value;
}

void text_window_close(void)
{
    for (unsigned word = 0; word < TABLE_ENTRIES / 64; word++) {
        while (touched[word] != 0) {
            text_window_slots[word * 64 + (unsigned)__builtin_ctzll(touched[word])] = 0;
            touched[word] &= touched[word] - 1;
        }
    }
    /* Drops the window's translations, which are not global, and serialises ("Serializing
     * Instructions", Intel SDM volume 3): behind it this CPU fetches what was written. */
    write_cr3(virtual_to_physical(kernel_root));
    is_open = false;
    raw_interrupts_restore(saved_flags);
}
