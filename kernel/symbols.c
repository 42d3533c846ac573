// SPDX-License-Identifier: MIT
/* Binary search in the linked-in symbol table. Invariant: symbol_offsets is ascending (made so by
 * tools/symbol_table.py). In .text.nopatch: calls nothing but format.c and string.c. */
#include "kernel/symbols.h"

#include "arch/paging.h"
#include "kernel/format.h"
#include "kernel/string.h"

extern const uint32_t symbol_count;
extern const uint32_t symbol_offsets[];
extern const uint32_t symbol_names[];
extern const char symbol_text[];

const char *symbol_find(uint64_t address, uint64_t *offset)
{
    if (symbol_count == 0 || address < (uint64_t)text_start || address >= (uint64_t)text_end) {
        return NULL;
    }
    uint32_t wanted = (uint32_t)(address - KERNEL_BASE);
    uint32_t low = 0;
    uint32_t high = symbol_count; /* the answer lies in [low, high) */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (symbol_offsets[middle] <= wanted) {
            low = middle;
        } else {
            high = middle;
        }
    }
    if (symbol_offsets[low] > wanted) {
        return NULL;
    }
    *offset = wanted - symbol_offsets[low];
    return symbol_text + symbol_names[low];
}

const char *symbol_describe(uint64_t address, char *buffer, size_t size)
{
    uint64_t offset;
    const char *name = symbol_find(address, &offset);
    if (name == NULL) {
        format_text(buffer, size, "0x%llx", (unsigned long long)address);
    } else {
        format_text(buffer, size, "%s+0x%llx", name, (unsigned long long)offset);
    }
    return buffer;
}

bool symbol_get(uint32_t index, const char **name, uint64_t *address)
{
    if (index >= symbol_count) {
        return false;
    }
    *name = symbol_text + symbol_names[index];
    *address = KERNEL_BASE + symbol_offsets[index];
    return true;
}

uint64_t symbol_address(const char *name)
{
    for (uint32_t i = 0; i < symbol_count; i++) {
        if (strcmp(symbol_text + symbol_names[i], name) == 0) {
            return KERNEL_BASE + symbol_offsets[i];
        }
    }
    return 0;
}
